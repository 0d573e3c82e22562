"""Image archives made by hand, for what no builder makes: `tar` of entries, `oci` and `docker` of images."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Entry = tuple[tarfile.TarInfo, bytes]
LABELS = {f"org.opencontainers.image.{name}": "x" for name in ("revision", "source", "version")}


def entry(name: str, content: bytes = b"", *, kind: bytes = tarfile.REGTYPE, link: str = "", **more: Any) -> Entry:
    """What lies in a tar; `more` are attributes of it, such as mode, uid and pax_headers."""
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, link, len(content)
    made.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    for attribute, value in more.items():
        setattr(made, attribute, value)
    return made, content


def folder(name: str, **more: Any) -> Entry:
    return entry(name, kind=tarfile.DIRTYPE, **more)


def link(name: str, to: str, **more: Any) -> Entry:
    return entry(name, kind=tarfile.SYMTYPE, link=to, **more)


def hard(name: str, to: str, **more: Any) -> Entry:
    return entry(name, kind=tarfile.LNKTYPE, link=to, **more)


def tar(entries: Iterable[Entry], **options: Any) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.PAX_FORMAT, **options) as packed:
        for made, content in entries:
            packed.addfile(made, io.BytesIO(content))
    return held.getvalue()


def files(content: dict[str, bytes]) -> bytes:
    return tar(entry(name, data) for name, data in content.items())


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class Picture:
    """An image of these layers (uncompressed tars), and what its configuration says of running it."""

    layers: list[bytes]
    settings: dict[str, Any] = field(default_factory=lambda: {"User": "1000", "Labels": LABELS})
    history: list[str] = field(default_factory=lambda: ["HEALTHCHECK CMD true"])

    def config(self, platform: str = "linux/amd64", **more: Any) -> bytes:
        system, architecture = platform.split("/")[:2]
        rootfs = {"type": "layers", "diff_ids": [digest(layer) for layer in self.layers]}
        said = {"os": system, "architecture": architecture, "rootfs": rootfs, "config": self.settings}
        said["history"] = [{"created_by": line} for line in self.history]
        return json.dumps(said | more).encode()


def described(content: bytes, kind: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest(content), "size": len(content), **more}


def blobs(pictures: dict[str, Picture], *, nested: bool = True, zipped: bool = True) -> dict[str, bytes]:
    """The files of an OCI archive with these images, by platform: an index in index.json if `nested`."""
    found: dict[str, bytes] = {}

    def put(content: bytes, kind: str, **more: Any) -> dict[str, Any]:
        found[f"blobs/sha256/{digest(content).removeprefix('sha256:')}"] = content
        return described(content, kind, **more)

    listed = []
    for platform, picture in pictures.items():
        system, architecture = platform.split("/")[:2]
        config = put(picture.config(platform), "config.v1+json")
        packed = [gzip.compress(layer, mtime=0) if zipped else layer for layer in picture.layers]
        of_it = [put(layer, f"layer.v1.tar{'+gzip' if zipped else ''}") for layer in packed]
        kind = "application/vnd.oci.image.manifest.v1+json"
        manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": of_it}).encode()
        where = {"os": system, "architecture": architecture}
        listed.append(put(manifest, "manifest.v1+json", platform=where))
    if nested:
        kind = "application/vnd.oci.image.index.v1+json"
        index = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": listed}).encode()
        listed = [put(index, "index.v1+json")]
    found["index.json"] = json.dumps({"schemaVersion": 2, "manifests": listed}).encode()
    return found | {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}


def oci(*pictures: Picture, platforms: tuple[str, ...] = ("linux/amd64", "linux/arm64"), **options: Any) -> bytes:
    """An OCI archive with an image for each platform."""
    return files(blobs(dict(zip(platforms, pictures, strict=False)), **options))


def saved(picture: Picture) -> dict[str, bytes]:
    """The files of a docker archive."""
    config = picture.config()
    name = f"{digest(config).removeprefix('sha256:')}.json"
    layers = {f"{number}/layer.tar": layer for number, layer in enumerate(picture.layers)}
    manifest = [{"Config": name, "RepoTags": ["shop:1"], "Layers": list(layers)}]
    return {**layers, name: config, "manifest.json": json.dumps(manifest).encode()}


def docker(picture: Picture) -> bytes:
    """A docker archive with an image."""
    return files(saved(picture))
