"""Every image of a release is scanned for every platform, and what the scanner does not know does not look clean."""

import json
import zipfile
from typing import Any

import archives
import pytest

pytestmark = pytest.mark.slow  # images are scanned


INSTALLED = "P:{}\nV:{}\nA:x86_64\nL:MIT\no:{}\n\n"
OLD, MENDED = "1.1.20-r4", "1.1.20-r5"  # of musl: CVE-2019-14697
WHEEL = "Metadata-Version: 2.1\nName: {}\nVersion: {}\nLicense: MIT\n"


def alpine(musl: str, release: str = "etc/alpine-release", **more: str) -> Any:
    """An image of Alpine 3.9 with this version of musl, and distributions of Python, name=version."""
    entries = [archives.entry("lib/apk/db/installed", INSTALLED.format("musl", musl, "musl").encode())]
    entries += [archives.entry(release, b"3.9.4\n")] if release else []
    for name, version in more.items():
        path = f"usr/lib/python3/site-packages/{name}-{version}.dist-info/METADATA"
        entries.append(archives.entry(path, WHEEL.format(name, version).encode()))
    return archives.Picture([archives.tar(entries)])


def check(job: Any, action: str, **files: bytes) -> Any:
    with zipfile.ZipFile(job.workspace / "package.zip", "w") as packed:
        for name, content in files.items():
            packed.writestr(f"{name.replace('__', '/')}.tar", content)
    return job.use("check", action=action, language="container")


def components(job: Any) -> set[str]:
    said = json.loads((job.evidence / "sbom.cdx.json").read_text())["components"]
    return {f"{one['name']} {one['version']}" for one in said if one["type"] == "library"}


@pytest.mark.parametrize("zipped", [True, False])
def test_a_vulnerable_package_for_the_second_platform_blocks(job: Any, zipped: bool) -> None:
    ran = check(job, "vulnerability-assessment", image=archives.oci(alpine(MENDED), alpine(OLD), zipped=zipped))
    assert (ran.code, ran.record["result"], len(ran.errors)) == (1, "fail", 1), ran.out
    assert "file=image.tar/linux/arm64," in ran.errors[0]
    assert "CVE-2019-14697" in ran.errors[0]

    ran = check(job, "vulnerability-assessment", image=archives.oci(alpine(MENDED), alpine(MENDED), zipped=zipped))
    assert (ran.code, ran.record["result"]) == (0, "pass"), ran.out


def test_packages_of_languages_are_found_for_every_platform_and_told_once(job: Any) -> None:
    vulnerable, mended = alpine(MENDED, requests="2.19.1"), alpine(MENDED, requests="2.32.3")
    for pictures in ((mended, vulnerable), (vulnerable, vulnerable)):
        ran = check(job, "vulnerability-assessment", image=archives.oci(*pictures))
        assert (ran.code, ran.record["result"], len(ran.errors)) == (1, "fail", 1), ran.out
        assert "CVE-2018-18074" in ran.errors[0]
    ran = check(job, "vulnerability-assessment", image=archives.oci(mended, mended))
    assert ran.code == 0, ran.out


def test_every_image_is_scanned_and_not_only_the_first(job: Any) -> None:
    good, bad = archives.docker(alpine(MENDED)), archives.docker(alpine(OLD))
    for files in ({"a": good, "b": bad}, {"a": bad, "b": good}, {"image": good, "deep__image": bad}):
        ran = check(job, "vulnerability-assessment", **files)
        assert (ran.code, ran.record["result"], len(ran.errors)) == (1, "fail", 1), ran.out
    assert "file=deep/image.tar," in ran.errors[0]
    ran = check(job, "vulnerability-assessment", a=good, b=archives.oci(alpine(MENDED)))
    assert (ran.code, ran.record["result"]) == (0, "pass"), ran.out
    ran = check(job, "vulnerability-assessment", a=good, b=b"no image")
    assert (ran.code, ran.record["result"]) == (1, "error"), ran.out


def test_one_image_of_an_oci_archive_is_called_as_that_of_a_docker_archive(job: Any) -> None:
    """What a waiver or a baseline says of the one holds for the other."""
    told = []
    for content in (archives.docker(alpine(OLD)), archives.oci(alpine(OLD)), archives.oci(alpine(OLD), nested=False)):
        ran = check(job, "vulnerability-assessment", image=content)
        assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
        told.append(ran.errors)
    assert told[0] == told[1] == told[2]
    assert "file=image.tar," in told[0][0]


def test_an_sbom_lists_the_packages_of_every_image_and_platform(job: Any) -> None:
    both = archives.oci(alpine(OLD, requests="2.32.3"), alpine(MENDED, six="1.17.0", requests="2.32.3"))
    ran = check(job, "sbom", image=both, other=archives.docker(alpine("1.2.0-r0")))
    assert (ran.code, ran.record["result"]) == (0, "pass"), ran.out
    versions = (OLD, MENDED, "1.2.0-r0")
    assert components(job) == {*(f"musl {one}" for one in versions), "requests 2.32.3", "six 1.17.0"}
    spdx = json.loads((job.evidence / "sbom.spdx.json").read_text())
    listed = [(one["name"], one.get("versionInfo")) for one in spdx["packages"]]
    assert {("musl", one) for one in versions} | {("requests", "2.32.3"), ("six", "1.17.0")} <= set(listed)
    for ids in ([one["SPDXID"] for one in spdx["packages"]], listed):
        assert len(ids) == len(set(ids)), ids
    assert (job.workspace / "sbom.cdx.json").read_bytes() == (job.evidence / "sbom.cdx.json").read_bytes()


@pytest.mark.parametrize("action", ["vulnerability-assessment", "sbom"])
def test_an_image_whose_packages_the_scanner_does_not_see_does_not_look_clean(job: Any, action: str) -> None:
    """trivy itself says nothing and exits 0."""
    unknown = archives.entry("etc/os-release", b"ID=unheard-of\nVERSION_ID=1\n")
    hidden = archives.Picture(
        [archives.tar([unknown, archives.entry("var/lib/pacman/local/x-1/desc", b"%NAME%\nx\n")])]
    )
    rpm = archives.Picture([archives.tar([unknown, archives.entry("usr/lib/sysimage/rpm/rpmdb.sqlite", b"x")])])
    debian = [
        archives.entry("etc/os-release", b"ID=debian\nVERSION_ID=12\n"),
        archives.entry("etc/debian_version", b"12.1"),
    ]
    database = archives.entry("lib/apk/db/installed", INSTALLED.format("musl", OLD, "musl").encode())
    posing = archives.Picture([archives.tar([*debian, database])])
    bare = alpine(OLD, release="")  # in an SBOM, its packages are seen
    more = [[bare], [alpine(MENDED), bare]] if action != "sbom" else []
    for pictures in ([hidden], [alpine(MENDED), rpm], [posing], *more):
        ran = check(job, action, image=archives.oci(*pictures))
        assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
        assert any("not-checked: the packages in /" in error for error in ran.errors)
    static = archives.Picture([archives.tar([archives.entry("app", b"x", mode=0o755)])])
    ran = check(job, action, image=archives.oci(static))  # from scratch: there is nothing to see
    assert (ran.code, ran.record["result"]) == (0, "pass"), ran.out


def test_an_archive_that_lies_is_not_scanned(job: Any) -> None:
    good = archives.blobs({"linux/amd64": alpine(MENDED)})
    [layer] = [name for name, content in good.items() if content.startswith(b"\x1f\x8b")]
    for action in ("vulnerability-assessment", "sbom"):
        ran = check(job, action, image=archives.files({**good, layer: b"x"}))
        assert (ran.code, ran.record["result"]) == (1, "error"), ran.out
        assert "has the digest" in ran.out
