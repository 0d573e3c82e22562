"""An OCI archive of one image with one layer, written: the same content is the same archive, whenever it is written.

Source: https://github.com/opencontainers/image-spec (image-layout.md, manifest.md, config.md)
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

BLOCK = 2**20
KIND = "application/vnd.oci.image"
Entry = tuple[tarfile.TarInfo, IO[bytes] | None]


class _Through(io.RawIOBase):
    """A file that is written, with the SHA-256 of what was."""

    def __init__(self, file: Any) -> None:
        self.file, self.checksum, self.size = file, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, block: Any) -> int:
        self.checksum.update(block)
        self.size += len(block)
        self.file.write(block)
        return len(block)

    @property
    def digest(self) -> str:
        return f"sha256:{self.checksum.hexdigest()}"


def write(path: Path, entries: Iterable[Entry], architecture: str, said: dict[str, Any]) -> str:
    """Write the archive; the digest of its manifest.

    Args:
        entries: what lies in the layer, in this order, each with its content if it is a file.
        architecture: as Go calls it, such as amd64.
        said: what the configuration says besides: `config`, `history`.
    """
    layer = path.with_name(f"{path.name}.layer")
    with layer.open("wb") as file:
        packed = _Through(file)
        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=packed, mtime=0) as zipped:
            plain = _Through(zipped)
            with tarfile.open(fileobj=plain, mode="w|", format=tarfile.PAX_FORMAT) as tar:
                for entry, content in entries:
                    tar.addfile(entry, content)
    rootfs = {"type": "layers", "diff_ids": [plain.digest]}
    config = _json({"architecture": architecture, "os": "linux", "rootfs": rootfs, **said})
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{KIND}.manifest.v1+json",
            "config": _descriptor("config.v1+json", _digest(config), len(config)),
            "layers": [_descriptor("layer.v1.tar+gzip", packed.digest, packed.size)],
        }
    )
    top = _descriptor("manifest.v1+json", _digest(manifest), len(manifest))
    top["platform"] = {"architecture": architecture, "os": "linux"}
    files = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json({"schemaVersion": 2, "manifests": [top]}),
        _blob(_digest(config)): config,
        _blob(_digest(manifest)): manifest,
    }
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, held in files.items():
            _add(tar, name, len(held), io.BytesIO(held))
        with layer.open("rb") as file:
            _add(tar, _blob(packed.digest), packed.size, file)
    layer.unlink()
    return _digest(manifest)


def _add(tar: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = size
    tar.addfile(entry, content)


def _json(said: dict[str, Any]) -> bytes:
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _descriptor(kind: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": f"{KIND}.{kind}", "digest": digest, "size": size}
