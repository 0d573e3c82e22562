"""An image archive, read without running or extracting anything: the images in it, each with its merged file system.

Two kinds are read: an OCI archive (oci-layout, index.json, blobs; indexes may be nested, an image for each platform),
and a docker archive, as `docker save` and `buildah push docker-archive:` write them. Every blob is held against its
digest, and every layer against the diff id of the configuration, before anything of it is believed: what is checked
here is what a registry and a runtime will take. What they could take in two ways, or not at all, is refused.
Source: https://github.com/opencontainers/image-spec (image-layout.md, image-index.md, config.md)
"""

import gzip
import hashlib
import json
import posixpath
import re
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import layers
import runner

INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
NAMED = re.compile(r"(?:blobs/sha256/)?([0-9a-f]{64})(?:\.json)?")  # how docker archives call a configuration
DOCUMENT = 16 * 2**20  # bytes of an index, a manifest or a configuration; registries take 4 MiB
LARGEST = 64 * 2**30  # bytes of all layers of an archive, uncompressed
IMAGES, DEPTH = 64, 4  # in an archive; of indexes in indexes
UNCOMPRESSED, COMPRESSED = "application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+gzip"
BLOCK = 2**20


class Refused(runner.Failed):
    """The archive cannot be read, or not in one way only."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "error")


@dataclass(frozen=True)
class Layer:
    digest: str  # sha256:… of the blob; of a docker archive, of its uncompressed content
    size: int  # bytes of the blob
    media_type: str
    diff_id: str  # sha256:… of the uncompressed content


class Image:
    """One image of an archive, for one platform."""

    def __init__(
        self,
        archive: "Archive",
        platform: str,
        config: dict[str, Any],
        found: tuple[Layer, ...],
        digest: str = "",
        media_type: str = "",
        config_digest: str = "",
    ) -> None:
        self.archive = archive
        self.platform = platform  # os/architecture or os/architecture/variant
        self.digest = digest  # sha256:… of its manifest; empty in a docker archive, which has none, as the next two are
        self.media_type = media_type
        self.config_digest = config_digest
        self.config = config  # the whole configuration: architecture, os, config, history, rootfs
        self.layers = found  # lowest first

    @property
    def settings(self) -> dict[str, Any]:
        """What the configuration says of running it: User, Env, Labels and so on."""
        said = self.config.get("config") or {}
        return said if isinstance(said, dict) else {}

    @cached_property
    def files(self) -> dict[str, layers.Entry]:
        """The merged file system: a path without the slash at its beginning -> what lies there.

        Raises:
            Refused: a layer is not what its digest or diff id says, or cannot be merged in one way only.
        """
        found: dict[str, layers.Entry] = {}
        for number, layer in enumerate(self.layers, 1):
            content = self.archive.content(layer)
            try:
                found = layers.merged(found, layers.read(content))
            except (layers.Wrong, tarfile.TarError, OverflowError, ValueError) as problem:
                raise Refused(f"layer {number} of {self.platform}: {problem or type(problem).__name__}") from None
        return found


class Archive:
    """An open archive. What it gave can be used until it is closed."""

    def __init__(self, path: Path, packed: tarfile.TarFile) -> None:
        self.path, self._packed = path, packed
        self._members = _members(packed)
        self._unpacked: dict[str, IO[bytes]] = {}
        self._left = LARGEST
        self.digest = ""  # sha256:… of the index or the manifest that index.json names, if it is one; else empty
        self.kind = "oci" if "oci-layout" in self._members else "docker"
        if self.kind == "docker" and "manifest.json" not in self._members:
            raise Refused(f"{path.name} is no image archive: it has neither oci-layout nor manifest.json")
        self.images: tuple[Image, ...] = tuple(self._oci() if self.kind == "oci" else self._docker())
        if not self.images:
            raise Refused(f"{path.name} has no image for a platform")
        if self.kind == "oci" and "manifest.json" in self._members:
            self._agree()

    def close(self) -> None:
        for file in self._unpacked.values():
            file.close()
        self._packed.close()

    def blob(self, digest: str, size: int | None = None) -> Iterator[bytes]:
        """The content of a blob, block by block; the last one comes only if the digest is right."""
        if not DIGEST.fullmatch(digest):
            raise Refused(f"'{digest}' is no SHA-256 digest")
        yield from self._verified(f"blobs/sha256/{digest.partition(':')[2]}", digest, size)

    def content(self, layer: Layer) -> IO[bytes]:
        """A layer's uncompressed tar, verified, from its beginning.

        It lies in a file without a name until the archive is closed: what is compressed can only be read from its
        beginning, and files are asked for in any order."""
        if layer.diff_id not in self._unpacked:
            try:
                self._unpacked[layer.diff_id] = self._uncompressed(layer)
            except (OSError, EOFError, zlib.error) as problem:
                raise Refused(f"the layer {layer.digest} cannot be uncompressed ({type(problem).__name__})") from None
        file = self._unpacked[layer.diff_id]
        file.seek(0)
        return file

    def _uncompressed(self, layer: Layer) -> IO[bytes]:
        source = self._layer_blob(layer)
        first = source.read(4)
        source.seek(0)
        if first == b"\x28\xb5\x2f\xfd" or layer.media_type.endswith("zstd"):
            raise Refused(f"the layer {layer.digest} is compressed by zstd, which is not read: build with gzip")
        reader: IO[bytes] = gzip.GzipFile(fileobj=source) if first[:2] == b"\x1f\x8b" else source  # type: ignore[assignment]
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the archive closes it
        checksum = hashlib.sha256()
        while block := reader.read(BLOCK):
            self._left -= len(block)
            if self._left < 0:
                raise Refused(f"the layers have more than {LARGEST >> 30} GiB")
            checksum.update(block)
            file.write(block)
        if (got := f"sha256:{checksum.hexdigest()}") != layer.diff_id:
            raise Refused(f"the layer {layer.digest} has the content {got}, not {layer.diff_id} as its image says")
        return file

    def _layer_blob(self, layer: Layer) -> IO[bytes]:
        if self.kind == "oci":
            for _ in self.blob(layer.digest, layer.size):
                pass
            return self._open(f"blobs/sha256/{layer.digest.partition(':')[2]}")
        return self._open(self._docker_layers[layer.digest])

    # ---- What lies in the tar

    def _open(self, name: str) -> IO[bytes]:
        """A file of the archive; `docker save` makes links of layers that are there twice."""
        for _ in range(8):
            member = self._members.get(name)
            if member is None:
                break
            if not member.issym():
                file = self._packed.extractfile(member)
                if member.isreg() and file:
                    return file
                break
            name = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
        raise Refused(f"{self.path.name} lacks {name}")

    def _verified(self, name: str, digest: str, size: int | None) -> Iterator[bytes]:
        checksum, read, last = hashlib.sha256(), 0, b""
        with self._open(name) as file:
            while block := file.read(BLOCK):
                if last:
                    yield last
                checksum.update(block)
                read += len(block)
                last = block
        if f"sha256:{checksum.hexdigest()}" != digest:
            raise Refused(f"{name} has the digest sha256:{checksum.hexdigest()}, not {digest}")
        if size is not None and read != size:
            raise Refused(f"{name} has {read} bytes, not {size} as its descriptor says")
        if last:
            yield last

    def _document(self, name: str, digest: str = "", size: int | None = None) -> dict[str, Any]:
        with self._open(name) as file:
            content = file.read(DOCUMENT + 1)
        if len(content) > DOCUMENT:
            raise Refused(f"{name} is larger than {DOCUMENT >> 20} MiB")
        if digest:
            content = b"".join(self._verified(name, digest, size))
        try:
            said = json.loads(content, object_pairs_hook=_once)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise Refused(f"{name} is no JSON object that can be read in one way only")
        return said

    def _described(self, descriptor: Any) -> dict[str, Any]:
        """The document that a descriptor names."""
        digest, size = str(descriptor["digest"]), descriptor["size"]
        if not DIGEST.fullmatch(digest) or type(size) is not int:
            raise Refused(f"'{digest}' is no SHA-256 digest with a size")
        return self._document(f"blobs/sha256/{digest.partition(':')[2]}", digest, size)

    # ---- The two kinds

    def _oci(self) -> list[Image]:
        try:
            listed = self._document("index.json")["manifests"]
            if len(listed) == 1:
                self.digest = str(listed[0]["digest"])
            return self._of_index(listed, 1)
        except (KeyError, TypeError, AttributeError, ValueError) as problem:
            raise Refused(f"{self.path.name} is no OCI archive ({type(problem).__name__}: {problem})") from None

    def _of_index(self, listed: Any, depth: int) -> list[Image]:
        if depth > DEPTH or len(listed) > IMAGES:
            raise Refused(f"{self.path.name} has indexes in indexes, or images, without end")
        found: list[Image] = []
        for descriptor in listed:
            said = descriptor.get("platform") or {}
            if (said.get("os"), said.get("architecture")) == ("unknown", "unknown"):
                continue  # BuildKit's attestations lie beside the images: no runtime takes them for one
            document = self._described(descriptor)
            kind = descriptor.get("mediaType") or document.get("mediaType")
            if document.get("mediaType", kind) != kind or kind not in (*INDEXES, *MANIFESTS):
                raise Refused(f"{descriptor['digest']} is no image or index: its media type is '{kind}'")
            if ("manifests" in document) != (kind in INDEXES) or ("layers" in document) != (kind in MANIFESTS):
                raise Refused(f"{descriptor['digest']} is not what its media type says")
            if kind in INDEXES:
                found += self._of_index(document["manifests"], depth + 1)
            else:
                found.append(self._image(descriptor, kind, document))
        if len(found) > IMAGES:
            raise Refused(f"{self.path.name} has more than {IMAGES} images")
        return found

    def _image(self, descriptor: Any, kind: str, manifest: dict[str, Any]) -> Image:
        config = self._described(manifest["config"])
        said = descriptor.get("platform") or {}
        for name in ("os", "architecture"):
            if said and said[name] != config.get(name):
                raise Refused(f"the index says {name} '{said[name]}', the image '{config.get(name)}'")
        diffs = _diff_ids(config)
        described = manifest["layers"]
        if len(described) != len(diffs):
            raise Refused(f"{descriptor['digest']} has {len(described)} layers, its configuration {len(diffs)}")
        found = [
            Layer(str(one["digest"]), int(one["size"]), str(one["mediaType"]), diff)
            for one, diff in zip(described, diffs, strict=True)
        ]
        named = (str(descriptor["digest"]), kind, str(manifest["config"]["digest"]))
        return Image(self, _platform(config, said), config, tuple(found), *named)

    def _docker(self) -> list[Image]:
        self._docker_layers: dict[str, str] = {}  # diff id -> name in the archive
        found = []
        try:
            for one in self._docker_manifest():
                config = self._docker_config(one)
                diffs = _diff_ids(config)
                if len(one["Layers"]) != len(diffs):
                    raise Refused(f"{one['Config']} has {len(diffs)} layers, manifest.json {len(one['Layers'])}")
                names = [posixpath.normpath(name) for name in one["Layers"]]
                self._docker_layers |= dict(zip(diffs, names, strict=True))
                sizes = [self._open(name).seek(0, 2) for name in names]
                listed = [Layer(diff, size, UNCOMPRESSED, diff) for diff, size in zip(diffs, sizes, strict=True)]
                found.append(Image(self, _platform(config, {}), config, tuple(listed)))
        except (KeyError, TypeError, AttributeError, ValueError) as problem:
            raise Refused(f"{self.path.name} is no docker archive ({type(problem).__name__}: {problem})") from None
        return found

    def _docker_manifest(self) -> list[dict[str, Any]]:
        with self._open("manifest.json") as file:
            said = json.loads(file.read(DOCUMENT), object_pairs_hook=_once)
        if not isinstance(said, list) or len(said) > IMAGES:
            raise Refused("manifest.json is no list of images")
        return said

    def _docker_config(self, one: dict[str, Any]) -> dict[str, Any]:
        name = posixpath.normpath(one["Config"])
        named = NAMED.fullmatch(name)
        return self._document(name, f"sha256:{named[1]}" if named else "")

    def _agree(self) -> None:
        """`docker save` writes an archive that is both kinds: who reads it as the one must get what the other says."""
        ours = [image.config for image in self.images]
        try:
            theirs = [(self._docker_config(one), one["Layers"]) for one in self._docker_manifest()]
        except (KeyError, TypeError, AttributeError, ValueError):
            raise Refused("manifest.json cannot be read") from None
        for config, names in theirs:
            if config not in ours:
                raise Refused(f"{self.path.name} has an image in manifest.json that index.json has not")
            wanted = [layer.digest for layer in self.images[ours.index(config)].layers]
            if [f"sha256:{posixpath.basename(name)}" for name in names] != wanted:
                raise Refused(f"{self.path.name} has layers in manifest.json that index.json has not")


def archives(folder: Path) -> list[Path]:
    """The image archives in a folder: every *.tar in it must be one; deeper, those that look like it are."""
    found = [path for path in sorted(folder.rglob("*.tar")) if path.is_file()]
    return [path for path in found if path.parent == folder or _is_one(path)]


def _is_one(path: Path) -> bool:
    try:
        with tarfile.open(path, mode="r:") as packed:
            return not {"oci-layout", "manifest.json"}.isdisjoint(map(posixpath.normpath, packed.getnames()))
    except (OSError, tarfile.TarError, ValueError):
        return False


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open an image archive.

    Raises:
        Refused: it is none, is not what its digests say, or can be read in more than one way.
    """
    try:
        packed = tarfile.open(path, mode="r:")  # noqa: SIM115 - the archive closes it
    except (OSError, tarfile.TarError) as problem:
        raise Refused(f"{path.name} is no tar archive ({type(problem).__name__})") from None
    try:
        archive = Archive(path, packed)
    except BaseException:
        packed.close()
        raise
    try:
        yield archive
    finally:
        archive.close()


def _members(packed: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    """What lies in the archive by its name. Of two with one name, one reader takes the first, another the last."""
    found: dict[str, tarfile.TarInfo] = {}
    try:
        for member in packed:
            name = posixpath.normpath(member.name)
            if not member.isdir() and found.setdefault(name, member) is not member:
                raise Refused(f"{name} is there twice")
    except (tarfile.TarError, OSError, ValueError, OverflowError) as problem:
        raise Refused(f"the archive cannot be read to its end ({type(problem).__name__})") from None
    if not layers.ended(packed):
        raise Refused("the archive cannot be read to its end")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Readers differ in which of two members of one name they believe."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _diff_ids(config: dict[str, Any]) -> list[str]:
    found = [str(one) for one in config["rootfs"].get("diff_ids") or []]
    if wrong := [one for one in found if not DIGEST.fullmatch(one)]:
        raise Refused(f"'{wrong[0]}' is no SHA-256 diff id")
    return found


def _platform(config: dict[str, Any], said: dict[str, Any]) -> str:
    variant = said.get("variant") or config.get("variant")
    parts = [str(config.get("os") or ""), str(config.get("architecture") or ""), *([str(variant)] if variant else [])]
    if not all(re.fullmatch(r"[a-z0-9_.]+", part) for part in parts):
        raise Refused(f"'{'/'.join(parts)}' is no platform")
    return "/".join(parts)
