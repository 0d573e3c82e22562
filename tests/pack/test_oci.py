"""Image archives: what is read of real ones, what a merged file system is, and what is refused."""

import gzip
import json
import os
import posixpath
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import archives
import pytest
from archives import Picture, entry, folder, hard, link, tar
from hypothesis import given, settings
from hypothesis import strategies as st


def merged(path: Path, *layers: bytes, **options: Any) -> dict[str, Any]:
    """What an image of these layers has, path -> entry, by way of an archive."""
    import oci

    (path / "image.tar").write_bytes(archives.oci(Picture(list(layers)), **options))
    with oci.opened(path / "image.tar") as archive:
        [image] = archive.images
        return dict(image.files)


def shown(files: dict[str, Any]) -> set[str]:
    return {f"{path}/" if one.kind == "folder" else path for path, one in files.items()}


def refused(path: Path, content: bytes) -> str:
    """Why an archive is refused, at the latest when its files are asked for."""
    import oci

    (path / "image.tar").write_bytes(content)

    def read() -> None:
        with oci.opened(path / "image.tar") as archive:
            for image in archive.images:
                assert image.files is not None

    with pytest.raises(oci.Refused) as caught:
        read()
    assert caught.value.result == "error"
    return str(caught.value)


# ---- Real archives

DOCKERFILE = """FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox mkdir -p /etc /gone/deep /new; echo 1 > /etc/one; >/gone/deep/x"]
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox rm -rf /gone /new; echo two > /etc/two; /bin/busybox mkdir /new"]
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox ln /bin/busybox /bin/sh; /bin/busybox ln -s busybox /bin/ls"]
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox chmod 4711 /bin/busybox; /bin/busybox rm /etc/one"]
USER 1000
"""


@pytest.fixture(scope="module")
def built(needs: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of several layers by buildah, as an OCI archive, a docker archive, and as an OCI archive for two
    platforms."""
    needs("container")
    place = tmp_path_factory.mktemp("buildah")
    (place / "busybox").write_bytes(Path("/bin/busybox").read_bytes())
    (place / "busybox").chmod(0o755)
    (place / "Dockerfile").write_text(DOCKERFILE)
    (place / "bare").write_text("FROM scratch\nCOPY busybox /bin/busybox\n")
    store = ["--root", f"{place}/root", "--runroot", f"{place}/run", "--storage-driver", "vfs"]

    def buildah(*words: str) -> None:
        ran = subprocess.run(["buildah", *store, *words], cwd=place, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr

    buildah("bud", "--isolation", "chroot", "--layers", "-t", "shop:1", ".")
    for kind in ("oci", "docker"):
        buildah("push", "shop:1", f"{kind}-archive:{place}/{kind}.tar")
    buildah("manifest", "create", "shop:2")
    for architecture in ("amd64", "arm64"):
        buildah("bud", "--platform", f"linux/{architecture}", "--manifest", "shop:2", "-f", "bare", ".")
    buildah("manifest", "push", "--all", "shop:2", f"oci-archive:{place}/both.tar")
    return place


@pytest.mark.parametrize("kind", ["oci", "docker"])
def test_what_buildah_writes_is_what_it_built(built: Path, kind: str) -> None:
    import oci

    with oci.opened(built / f"{kind}.tar") as archive:
        [image] = archive.images
        files = image.files
        assert (archive.kind, image.platform, image.settings["User"]) == (kind, "linux/amd64", "1000")
        assert len(image.layers) == 5
        assert {"bin/busybox", "bin/sh", "bin/ls", "etc/two", "new/"} <= shown(files)
        assert not [path for path in files if path.startswith("gone") or path == "etc/one" or ".wh." in path]
        assert (files["bin/ls"].kind, files["bin/ls"].target) == ("link", "busybox")
        assert files["bin/busybox"].mode == 0o4711
        for path in ("bin/busybox", "bin/sh"):
            with files[path].open() as content:
                assert content.read() == (built / "busybox").read_bytes()
        assert files["etc/two"].head(100) == b"two\n"


def test_every_platform_of_an_index_is_there(built: Path) -> None:
    import oci

    with oci.opened(built / "both.tar") as archive, tarfile.open(built / "both.tar") as packed:
        assert [image.platform for image in archive.images] == ["linux/amd64", "linux/arm64"]
        file = packed.extractfile("index.json")
        assert file
        assert archive.digest == json.load(file)["manifests"][0]["digest"]
        assert all("bin/busybox" in image.files for image in archive.images)


# ---- A merged file system


def test_what_a_layer_takes_away_is_gone_and_what_it_has_itself_stays(tmp_path: Path) -> None:
    lower = tar([folder("a"), entry("a/one"), entry("a/two"), folder("b"), folder("b/c"), entry("b/c/x"), entry("e/f")])
    upper = [entry("a/.wh.one"), entry("a/.wh.three"), entry("a/three"), entry("b/new"), entry("b/.wh..wh..opq")]
    for order in (upper, upper[::-1]):  # a layer takes away of those below it, wherever it says so
        files = merged(tmp_path, lower, tar([*order, entry(".wh.e")]))
        assert shown(files) == {"a/", "a/two", "a/three", "b/", "b/new"}


def test_a_whole_root_can_be_taken_away(tmp_path: Path) -> None:
    files = merged(tmp_path, tar([entry("etc/shadow")]), tar([entry(".wh..wh..opq"), entry("app")]))
    assert shown(files) == {"app"}


def test_a_file_takes_the_place_of_a_folder_and_a_folder_that_of_a_file_or_a_link(tmp_path: Path) -> None:
    lower = tar([folder("a"), entry("a/x"), entry("b"), link("c", "/etc"), folder("etc"), entry("etc/passwd", b"old")])
    files = merged(tmp_path, lower, tar([entry("a"), entry("b/y"), entry("c/passwd", b"new")]))
    assert shown(files) == {"a", "b/", "b/y", "c/", "c/passwd", "etc/", "etc/passwd"}
    assert files["etc/passwd"].size == 3


def test_a_link_of_the_same_layer_is_followed(tmp_path: Path) -> None:
    """As every runtime does it: a file below it lands where it leads, and nowhere outside."""
    files = merged(tmp_path, tar([folder("etc"), link("x", "../../../etc"), entry("x/passwd", b"y", mode=0o4755)]))
    assert shown(files) == {"etc/", "x", "etc/passwd"}
    assert files["etc/passwd"].mode == 0o4755


def test_the_last_of_two_with_one_name_counts(tmp_path: Path) -> None:
    two = [entry("a", b"one"), entry("a", b"three", mode=0o4755), folder("d"), entry("d/x"), entry("d")]
    files = merged(tmp_path, tar(two))
    assert (files["a"].size, files["a"].mode, shown(files)) == (5, 0o4755, {"a", "d"})


def test_names_are_below_the_root_however_they_are_said(tmp_path: Path) -> None:
    files = merged(tmp_path, tar([entry("/etc/passwd"), entry("./usr//bin/x"), folder(".", mode=0o1777)]))
    assert shown(files) == {"etc/", "etc/passwd", "usr/", "usr/bin/", "usr/bin/x", "/"}
    assert files[""].mode == 0o1777


def test_a_hard_link_has_the_content_of_what_it_leads_to(tmp_path: Path) -> None:
    import oci

    picture = Picture([tar([entry("a", b"content", mode=0o4755)]), tar([hard("b", "a", mode=0o4755), hard("c", "b")])])
    (tmp_path / "image.tar").write_bytes(archives.oci(picture))
    with pytest.raises(oci.Refused, match="c is a hard link to b"), oci.opened(tmp_path / "image.tar") as archive:
        assert archive.images[0].files
    picture = Picture([tar([entry("a", b"content", mode=0o4755)]), tar([hard("b", "/a", mode=0o4755)])])
    (tmp_path / "image.tar").write_bytes(archives.oci(picture, zipped=False))
    with oci.opened(tmp_path / "image.tar") as archive:
        files = archive.images[0].files
        assert (files["b"].head(10), files["b"].mode) == (b"content", 0o4755)


def test_capabilities_are_seen(tmp_path: Path) -> None:
    capable = entry("ping", b"x", pax_headers={"SCHILY.xattr.security.capability": "\1\0"})
    files = merged(tmp_path, tar([capable, entry("ls", b"x")]))
    assert [path for path, one in files.items() if one.capable] == ["ping"]


NAMES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join)
KINDS = st.sampled_from(["file", "folder", "gone", "opaque"])


@given(st.lists(st.lists(st.tuples(NAMES, KINDS), max_size=6, unique_by=lambda one: one[0]), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_a_merge_is_what_applying_the_layers_to_a_folder_leaves(
    tmp_path_factory: pytest.TempPathFactory, said: list[list[tuple[str, str]]]
) -> None:
    """Against the layers as the specification says it: first what goes, then what comes."""
    import layers

    root: dict[str, str] = {}
    files: dict[str, Any] = {}
    for layer in said:
        added = {path: kind for path, kind in layer if kind in ("file", "folder")}
        # Nothing lies below a file of its own layer.
        layer = [
            one for one in layer if not any(one[0].startswith(f"{path}/") for path in added if added[path] == "file")
        ]
        for path, kind in layer:
            inside = f"{path}/"
            if kind in ("gone", "opaque"):
                root = {there: what for there, what in root.items() if not there.startswith(inside)}
            if kind == "gone":
                root.pop(path, None)
        for path, kind in sorted(layer):
            if kind not in ("file", "folder"):
                continue
            parts = path.split("/")
            for above in ("/".join(parts[:end]) for end in range(1, len(parts))):
                root[above] = "folder"
            if kind == "file":
                root = {there: what for there, what in root.items() if not there.startswith(f"{path}/")}
            root[path] = kind
        forms: dict[str, Callable[[str], Any]] = {
            "file": entry,
            "folder": folder,
            "gone": lambda path: entry(posixpath.join(posixpath.dirname(path), f".wh.{posixpath.basename(path)}")),
            "opaque": lambda path: entry(f"{path}/.wh..wh..opq"),
        }
        content = tmp_path_factory.getbasetemp() / "layer.tar"
        content.write_bytes(tar(forms[kind](path) for path, kind in layer))
        with content.open("rb") as file:
            files = layers.merged(files, layers.read(file))
    assert {path: one.kind for path, one in files.items()} == root


# ---- What is refused


def test_what_cannot_be_one_image_only_is_refused(tmp_path: Path) -> None:
    one, two = (Picture([tar([entry("etc/x", content)])]) for content in (b"1", b"2"))
    good = archives.blobs({"linux/amd64": one}, nested=False)
    manifest = json.loads(good["index.json"])["manifests"][0]
    [layer] = [name for name, content in good.items() if content.startswith(b"\x1f\x8b")]
    [config] = [name for name, content in good.items() if b"rootfs" in content]

    def index(**more: Any) -> dict[str, bytes]:
        return {**good, "index.json": json.dumps({"manifests": [{**manifest, **more}]}).encode()}

    other = gzip.compress(two.layers[0], mtime=0)
    assert len(other) == len(good[layer])
    again = archives.tar([entry(name, content) for name, content in [*good.items(), ("./index.json", b"{}")]])
    lies = {
        "neither oci-layout nor manifest.json": archives.files({"x": b""}),
        "no tar archive": b"no tar at all",
        "index.json is there twice": again,
        "has the digest": archives.files({**good, layer: other}),
        "bytes, not": archives.files(index(size=manifest["size"] + 1)),
        f"lacks {layer}": archives.files({name: content for name, content in good.items() if name != layer}),
        f"lacks {config}": archives.files({name: content for name, content in good.items() if name != config}),
        "is no SHA-256 digest": archives.files(index(digest="sha512:" + "0" * 128)),
        "is no SHA-256 digest ": archives.files(index(digest="sha256:../../index.json")),
        "the index says architecture 'arm64'": archives.files(index(platform={"os": "linux", "architecture": "arm64"})),
        "its media type is": archives.files(index(mediaType="application/vnd.oci.artifact")),
        "no image for a platform": archives.files(index(platform={"os": "unknown", "architecture": "unknown"})),
        "is no JSON object that can be read in one way": archives.files({**good, "index.json": b'{"a": 1, "a": 2}'}),
    }
    for why, content in lies.items():
        assert why.strip() in refused(tmp_path, content), why
    import oci

    (tmp_path / "image.tar").write_bytes(archives.files(good))  # and what they were made of is not
    with oci.opened(tmp_path / "image.tar") as archive:
        assert shown(archive.images[0].files) == {"etc/", "etc/x"}


def test_a_layer_that_is_not_what_the_configuration_says_is_refused(tmp_path: Path) -> None:
    """Else trivy, which keeps what it knows of a layer by its diff id, would take one for another."""
    picture, liar = Picture([tar([entry("a", b"1")])]), Picture([tar([entry("a", b"2")])])
    liar.config = lambda platform="linux/amd64": picture.config(platform)
    assert "has the content sha256:" in refused(tmp_path, archives.oci(liar))
    saved = archives.saved(picture) | {"0/layer.tar": liar.layers[0]}
    assert "has the content sha256:" in refused(tmp_path, archives.files(saved))
    [config] = [name for name in saved if name.endswith(".json") and name != "manifest.json"]
    assert "has the digest" in refused(tmp_path, archives.files({**archives.saved(picture), config: b"{}"}))


def test_an_archive_of_both_kinds_must_say_the_same_as_either(tmp_path: Path) -> None:
    import oci

    one, two = (Picture([tar([entry("a", content)])]) for content in (b"1", b"2"))
    good = archives.blobs({"linux/amd64": one}, nested=False, zipped=False)
    [layer] = [f"blobs/sha256/{archives.digest(layer).removeprefix('sha256:')}" for layer in one.layers]
    config = f"blobs/sha256/{archives.digest(one.config()).removeprefix('sha256:')}"
    both = good | {"manifest.json": json.dumps([{"Config": config, "Layers": [layer]}]).encode()}
    (tmp_path / "image.tar").write_bytes(archives.files(both))
    with oci.opened(tmp_path / "image.tar") as archive:
        assert archive.kind == "oci"
    assert "that index.json has not" in refused(tmp_path, archives.files({**good, **archives.saved(two)}))
    other = {"manifest.json": json.dumps([{"Config": config, "Layers": ["other.tar"]}]).encode(), "other.tar": b""}
    assert "layers in manifest.json" in refused(tmp_path, archives.files({**good, **other}))


def test_zstd_is_refused_by_name(tmp_path: Path) -> None:
    magic = Picture([b"\x28\xb5\x2f\xfd" + b"\0" * 600])
    assert "compressed by zstd, which is not read" in refused(tmp_path, archives.oci(magic, zipped=False))


HOSTILE = {
    "leads outside": [entry("../etc/passwd")],
    "leads outside ": [entry("a/../../x")],
    "leads outside  ": [hard("a", "../../etc/passwd")],
    "hard link to etc/shadow, which is not there": [hard("a", "/etc/shadow")],
    "below a link that leads in circles": [link("a", "b"), link("b", "a"), entry("a/x")],
    "lies below a, which is no folder": [entry("a"), entry("a/b")],
    "lies below what takes something away": [entry(".wh.a/setuid", mode=0o4755)],
    "what does it take away?": [entry("a/.wh.")],
    "what does it take away? ": [entry("a/.wh..")],
    "of a kind that no runtime takes": [entry("a", kind=b"V")],
}


@pytest.mark.parametrize("why", HOSTILE)
def test_a_layer_that_reaches_outside_or_hides_something_is_refused(tmp_path: Path, why: str) -> None:
    content = HOSTILE[why]
    found = refused(tmp_path, archives.oci(Picture([tar(content)])))
    assert why.strip() in found or (content[0][0].type == b"V" and "cannot be read" in found)


def test_what_lies_behind_a_broken_header_is_not_passed_over(tmp_path: Path) -> None:
    """Python's reader takes it for the end of the archive."""
    layer = bytearray(tar([entry("a"), entry("b", mode=0o4755)]))
    at = layer.index(b"b\0\0\0")
    layer[at + 148 : at + 156] = b"0000000\0"  # its checksum
    assert "cannot be read to its end" in refused(tmp_path, archives.oci(Picture([bytes(layer)])))


def test_global_headers_that_change_entries_are_refused(tmp_path: Path) -> None:
    """Python's reader obeys them, Go's does not."""
    assert merged(tmp_path, tar([entry("a")], pax_headers={"comment": "0" * 40}))
    layer = tar([entry("a", mode=0o4755)], pax_headers={"path": "b"})
    assert "global headers" in refused(tmp_path, archives.oci(Picture([layer])))


def test_a_broken_archive_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    whole = archives.oci(Picture([tar([entry("etc/x", os.urandom(3000))])]))
    end = len(whole.rstrip(b"\0"))
    for size in range(1, end, 997):
        assert refused(tmp_path, whole[:size])


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_byte_is_seen_or_means_nothing(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    import oci

    path = tmp_path_factory.getbasetemp() / "changed.tar"
    whole = archives.oci(Picture([tar([entry("etc/x", b"content", mode=0o4755)])]))
    at = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :])
    try:
        with oci.opened(path) as archive:
            [image] = archive.images
            assert {name: one.mode for name, one in image.files.items()} == {"etc": 0o755, "etc/x": 0o4755}
            assert image.files["etc/x"].head(10) == b"content"
    except oci.Refused:
        pass


# ---- A folder of this machine


def test_a_folder_is_read_as_an_image_is_and_links_lead_nowhere_outside(tmp_path: Path) -> None:
    import layers

    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/real").write_text("root:*:0:0\n")
    (tmp_path / "etc/real").chmod(0o4755)
    (tmp_path / "etc/passwd").symlink_to("/etc/real")
    (tmp_path / "outside").symlink_to("/")
    files = layers.folder(tmp_path)
    assert shown(files) == {"/", "etc/", "etc/real", "etc/passwd", "outside"}
    assert layers.resolved(files, "/outside/etc/passwd") == "etc/real"
    assert (files["etc/real"].mode, files["etc/real"].uid) == (0o4755, os.getuid())
    assert files["etc/real"].head(4) == b"root"


def test_what_must_be_an_image_archive_and_what_may_be_one(tmp_path: Path) -> None:
    import oci

    (tmp_path / "deep/dir.tar").mkdir(parents=True)
    (tmp_path / "image.tar").write_bytes(b"broken")
    (tmp_path / "deep/source.tar").write_bytes(tar([entry("main.c")]))
    (tmp_path / "deep/image.tar").write_bytes(archives.docker(Picture([tar([entry("a")])])))
    assert oci.archives(tmp_path) == [tmp_path / "deep/image.tar", tmp_path / "image.tar"]
