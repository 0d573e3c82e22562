"""What differs between two images: SBOMs are made by the real trivy and syft, versions compared by dpkg."""

import hashlib
import io
import itertools
import json
import os
import random
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import InvalidVersion, Version

LIB = Path(__file__).parents[2] / ".github" / "actions" / "_lib"
sys.dont_write_bytecode = True
sys.path.insert(0, str(LIB))
import image_difference as images  # noqa: E402
import package_versions as versions  # noqa: E402
import runner  # noqa: E402

TRIVY = Path(__file__).parents[2] / ".github/actions/check/tools/trivy.sh"

AMD, ARM = "linux/amd64", "linux/arm64"
QUIET = ("--quiet", "--disable-telemetry", "--skip-version-check")


def digest(of: object) -> str:
    return f"sha256:{hashlib.sha256(repr(of).encode()).hexdigest()}"


def record(build: object = 1, platforms: tuple[str, ...] = (AMD,), base: object = 1, **more: Any) -> dict[str, Any]:
    """An image.json."""
    return {
        "name": "web",
        "version": str(build),
        "digest": digest(build),
        "platforms": {platform: digest((build, platform)) for platform in platforms},
        "base": {"image": "docker.io/library/debian:12", "digest": digest(base)},
        **more,
    }


def sbom(*purls: str, system: str = "debian 12.5") -> dict[str, Any]:
    name, _, version = system.partition(" ")
    components: list[dict[str, Any]] = [{"type": "operating-system", "name": name, "version": version}]
    components += [{"type": "library", "name": "x", "purl": purl} for purl in purls]
    return {"bomFormat": "CycloneDX", "components": components}


def one(*purls: str, found: Any = (), **more: Any) -> images.Image:
    """An image of one platform with these packages."""
    return images.image(record(**more), {AMD: sbom(*purls)}, found)


def tables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: images.Difference) -> str:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    images.markdown(found)
    return (tmp_path / "summary.md").read_text()


# ---- SBOMs of the real tools


STATUS = "Package: {}\nStatus: install ok installed\nArchitecture: {}\nSource: {}\nVersion: {}\n\n"


def root(folder: Path, requests: str, zlib: str, more: str = "") -> Path:
    """A file system like Debian's, with a package of Python's in it."""
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\nNAME="Debian GNU/Linux"\n')
    (folder / "etc/debian_version").write_text("12.5\n")
    (folder / "var/lib/dpkg").mkdir(parents=True)
    status = STATUS.format("libc6", "amd64", "glibc", "2.36-9+deb12u4") + STATUS.format("zlib1g", "amd64", "zlib", zlib)
    (folder / "var/lib/dpkg/status").write_text(status + more)
    place = folder / f"usr/lib/python3/dist-packages/requests-{requests}.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: requests\nVersion: {requests}\n")
    return folder


def lock(folder: Path, lodash: str) -> Path:
    """A folder with what npm locked: two versions of one name, and a scoped one; and requirements of pip."""
    folder.mkdir()
    packages = {
        "": {"name": "shop", "dependencies": {"lodash": lodash, "@scope/x": "1.0.0"}},
        "node_modules/lodash": {"version": lodash},
        "node_modules/@scope/x": {"version": "1.0.0", "dependencies": {"lodash": "3"}},
        "node_modules/@scope/x/node_modules/lodash": {"version": "3.10.1"},
    }
    said = {"name": "shop", "version": "1.0.0", "lockfileVersion": 3, "packages": packages}
    (folder / "package-lock.json").write_text(json.dumps(said))
    (folder / "requirements.txt").write_text("six==1.16.0\nPyYAML==6.0.1\n")
    return folder


def archive(folder: Path, to: Path) -> Path:
    """The image of one layer, as `docker save` writes it."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as layer:
        layer.add(folder, arcname=".")
    config = {"architecture": "amd64", "os": "linux", "config": {}}
    config["rootfs"] = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(held.getvalue()).hexdigest()}"]}
    manifest = [{"Config": "config.json", "RepoTags": ["web:1"], "Layers": ["layer.tar"]}]
    with tarfile.open(to, "w") as whole:
        for name, content in {
            "manifest.json": json.dumps(manifest).encode(),
            "config.json": json.dumps(config).encode(),
            "layer.tar": held.getvalue(),
        }.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            whole.addfile(entry, io.BytesIO(content))
    return to


def trivy(*words: object, to: Path) -> Any:
    command = ["trivy", *map(str, words[:-1]), *QUIET, "--format", "cyclonedx", "--output", str(to), str(words[-1])]
    subprocess.run(command, check=True, cwd=to.parent)
    return json.loads(to.read_bytes())


def syft(folder: Path) -> Any:
    words = ["syft", "scan", f"dir:{folder}", "--quiet", "--output", "cyclonedx-json"]
    environment = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"}
    return json.loads(subprocess.run(words, check=True, capture_output=True, cwd=folder, env=environment).stdout)


def test_packages_are_those_that_trivy_and_syft_list_with_their_epochs(tmp_path: Path) -> None:
    debian, node = root(tmp_path / "debian", "2.19.0", "1:1.2.13.dfsg-1"), lock(tmp_path / "node", "4.17.21")
    deb = {
        images.Package("deb", "debian", "libc6", "2.36-9+deb12u4", "amd64"),
        images.Package("deb", "debian", "zlib1g", "1:1.2.13.dfsg-1", "amd64"),
        images.Package("pypi", "", "requests", "2.19.0"),
    }
    npm = {
        images.Package("npm", "@scope", "x", "1.0.0"),
        images.Package("npm", "", "lodash", "3.10.1"),
        images.Package("npm", "", "lodash", "4.17.21"),
        images.Package("pypi", "", "six", "1.16.0"),
        images.Package("pypi", "", "pyyaml", "6.0.1"),
    }
    assert images.packages(trivy("rootfs", "--scanners", "license", debian, to=tmp_path / "a.json")) == deb
    assert images.packages(trivy("fs", "--scanners", "license", node, to=tmp_path / "b.json")) == npm
    assert images.packages(syft(debian)) == deb
    assert images.packages(syft(node)) - npm <= {images.Package("npm", "", "shop", "")}  # the folder itself
    assert images.packages(syft(node)) >= npm


def test_of_two_real_images_is_told_what_moved_and_which_findings_are_fixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are held against the database of today, by trivy as the check action installs it."""
    monkeypatch.setenv("RUNNER_TEMP", str(tmp_path))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    # None of these tells it anything.
    (tmp_path / "home/trivy.yaml").write_text("severity: [LOW]\nscan: {scanners: [license]}\n")
    (tmp_path / "home/.trivyignore").write_text("CVE-2018-18074\n")
    for name, value in {
        "SEVERITY": "LOW",
        "IGNOREFILE": ".trivyignore",
        "CONFIG": "trivy.yaml",
        "FORMAT": "table",
    }.items():
        monkeypatch.setenv(f"TRIVY_{name}", value)
    sides = []
    more = STATUS.format("curl", "amd64", "curl", "7.88.1-10+deb12u5")
    for build, folder in enumerate(
        [
            root(tmp_path / "one", "2.19.0", "1:1.2.13.dfsg-1"),
            root(tmp_path / "two", "2.20.0", "1:1.2.13.dfsg-1+deb12u1", more),
        ]
    ):
        file = tmp_path / f"{build}.cdx.json"
        with monkeypatch.context() as without:
            for name in ("SEVERITY", "IGNOREFILE", "CONFIG", "FORMAT"):
                without.delenv(f"TRIVY_{name}")
            made = trivy(
                "image", "--scanners", "license", f"--input={archive(folder, tmp_path / f'{build}.tar')}", to=file
            )
        known = images.vulnerabilities(file, TRIVY)
        sides.append(images.image(record(build, base=build), {AMD: made}, known))

    found = images.difference(*sides)

    fixed = images.Finding("CVE-2018-18074", "requests", "2.19.0", "high", "2.20.0")
    assert sides[0].findings == (fixed,)
    assert (found.fixed, found.new) == ((fixed,), ())
    assert [(one.name, one.before, one.after) for one in found.upgraded] == [
        ("zlib1g", ("1:1.2.13.dfsg-1",), ("1:1.2.13.dfsg-1+deb12u1",)),
        ("requests", ("2.19.0",), ("2.20.0",)),
    ]
    assert [(one.type, one.name, one.after) for one in found.added] == [("deb", "curl", ("7.88.1-10+deb12u5",))]
    assert not found.removed + found.downgraded + found.changed
    says = "2 packages upgraded, 1 added, none removed; 1 finding fixed, none new; base image moved"
    assert images.sentence(found) == says
    assert images.document(found)["summary"] == says
    text = tables(monkeypatch, tmp_path, found)
    assert text.startswith(f"### difference: {says}\n")
    assert re.findall("^### (.*)", text, re.MULTILINE)[1:] == ["findings fixed", "image", "packages"]
    assert [line.split("|")[1].strip() for line in text.split("### packages")[1].splitlines()[4:7]] == [
        "`requests`",  # a finding concerns it
        "`curl`",
        "`zlib1g`",
    ]
    assert json.loads(json.dumps(images.document(found)))["findings"]["fixed"][0]["id"] == "CVE-2018-18074"
    assert images.sentence(images.difference(*reversed(sides))).startswith("2 packages downgraded, 1 removed")


def test_without_a_database_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNNER_TEMP", str(tmp_path))
    monkeypatch.setenv("TRIVY_CACHE_DIR", str(tmp_path / "none"))
    (tmp_path / "sbom.json").write_text(json.dumps(sbom("pkg:pypi/requests@2.19.0")))
    with pytest.raises(runner.Failed, match=r"trivy cannot say what is known of sbom\.json: exit code 1") as failed:
        images.vulnerabilities(tmp_path / "sbom.json", TRIVY)
    assert failed.value.result == "error"


# ---- Comparing


@pytest.mark.parametrize(
    ("before", "after", "kind", "gone", "came"),
    [
        (["deb/debian/a@1.0-1~bpo"], ["deb/debian/a@1.0-1"], "upgraded", "1.0-1~bpo", "1.0-1"),
        (["deb/debian/a@2?epoch=1"], ["deb/debian/a@3"], "downgraded", "1:2", "3"),
        (["npm/a@1.0.0", "npm/a@2.0.0"], ["npm/a@1.0.1", "npm/a@2.0.1"], "upgraded", "1.0.0 2.0.0", "1.0.1 2.0.1"),
        (["npm/a@1.0.0", "npm/a@2.0.0"], ["npm/a@1.0.0", "npm/a@2.0.1"], "upgraded", "2.0.0", "2.0.1"),
        (["npm/a@1.0.0", "npm/a@2.0.0"], ["npm/a@2.0.1"], "upgraded", "1.0.0 2.0.0", "2.0.1"),
        (["npm/a@1.0.0", "npm/a@2.0.0"], ["npm/a@1.0.1"], "changed", "1.0.0 2.0.0", "1.0.1"),
        (["npm/a@1.0.0"], ["npm/a@1.0.0", "npm/a@0.9.0"], "added", "", "0.9.0"),
        (["maven/o/a@33.0-jre"], ["maven/o/a@33.1-jre"], "upgraded", "33.0-jre", "33.1-jre"),
        (["maven/o/a@33.0-jre"], ["maven/o/a@33.1-android"], "changed", "33.0-jre", "33.1-android"),
        (["pypi/A_b@1.0"], ["pypi/a-b@1.0.0"], "changed", "1.0", "1.0.0"),
        (["golang/x.example/y@v1.2.0"], ["golang/x.example/y@v1.10.0"], "upgraded", "v1.2.0", "v1.10.0"),
        (
            ["deb/debian/a@1?arch=amd64", "deb/debian/a@1?arch=i386"],
            ["deb/debian/a@1?arch=amd64"],
            *("removed", "1 (i386)", ""),
        ),
    ],
)
def test_what_became_of_a_package(before: list[str], after: list[str], kind: str, gone: str, came: str) -> None:
    found = images.difference(*(one(*(f"pkg:{purl}" for purl in purls)) for purls in (before, after)))
    told = {name: getattr(found, name) for name in images.KINDS if getattr(found, name)}
    assert list(told) == [kind]
    [change] = told[kind]
    split = re.compile(r" (?!\()")
    assert change.before == tuple(split.split(gone) if gone else ())
    assert change.after == tuple(split.split(came) if came else ())


def test_a_package_is_told_once_for_all_platforms_where_it_changed_alike() -> None:
    both = (AMD, ARM)
    old = {name: sbom(f"pkg:deb/debian/a@1?arch={name[6:]}", f"pkg:deb/debian/b@1?arch={name[6:]}") for name in both}
    new = {AMD: sbom("pkg:deb/debian/a@2?arch=amd64", "pkg:deb/debian/b@2?arch=amd64")}
    new[ARM] = sbom("pkg:deb/debian/a@2?arch=arm64", "pkg:deb/debian/b@1?arch=arm64", system="debian 12.6")
    found = images.difference(images.image(record(1, both), old), images.image(record(2, both), new))
    assert [(one.name, one.before, one.platforms) for one in found.upgraded] == [
        ("a", ("1",), both),
        ("b", ("1",), (AMD,)),
    ]
    assert found.distribution == ("debian 12.5", "debian 12.6")
    assert "distribution changed" in images.sentence(found)


def test_a_platform_that_came_is_told_and_not_all_that_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = {AMD: sbom("pkg:deb/debian/a@1"), ARM: sbom("pkg:deb/debian/a@1", "pkg:deb/debian/b@1")}
    found = images.difference(one("pkg:deb/debian/a@1"), images.image(record(2, (AMD, ARM)), packages))
    assert not found.empty
    assert found == images.Difference(platforms_added=(ARM,))
    says = "the same packages; findings not compared; the same base image; 1 platform added"
    assert images.sentence(found) == says
    assert "| platforms |  | `linux/arm64` |" in tables(monkeypatch, tmp_path, found)


def test_a_platform_without_sbom_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sides = [images.image(record(build, (AMD, ARM)), {AMD: sbom("pkg:deb/debian/a@1")}, ()) for build in (1, 2)]
    found = images.difference(*sides)
    assert (found.empty, found.unseen) == (True, (ARM,))
    assert images.sentence(found).endswith("1 platform not compared, without SBOM")
    assert "| not compared, without SBOM |  | `linux/arm64` |" in tables(monkeypatch, tmp_path, found)
    assert images.unchanged(*sides) == ""


def test_a_finding_is_the_same_in_the_next_version_that_has_it_and_the_worst_comes_first() -> None:
    def report(*found: tuple[str, str, str, str]) -> Any:
        names = ("VulnerabilityID", "PkgName", "InstalledVersion", "Severity")
        return images.findings(
            {
                "SchemaVersion": 2,
                "Results": [{"Vulnerabilities": [dict(zip(names, one, strict=True))]} for one in found],
            }
        )

    before = report(("CVE-1", "a", "1", "HIGH"), ("CVE-2", "a", "1", "LOW"), ("CVE-3", "a", "1", "CRITICAL"))
    after = report(("CVE-1", "a", "2", "HIGH"), ("CVE-1", "a", "2", "CRITICAL"), ("CVE-4", "b", "1", "STRANGE"))
    assert [one.severity for one in after] == ["critical", "unknown"]
    found = images.difference(one(found=before), one(found=after))
    assert [one.id for one in found.fixed] == ["CVE-3", "CVE-2"]
    assert [one.id for one in found.new] == ["CVE-4"]
    assert images.findings({"SchemaVersion": 2}) == ()


ANY = st.lists(
    st.builds(
        "pkg:{}/{}@{}?arch={}".format,
        st.sampled_from(["deb/debian", "npm", "npm/%40s", "pypi", "gem"]),
        st.sampled_from("abc"),
        st.sampled_from(["1", "1.0", "2", "10", "1~", "1-jre", "", "%20"]),
        st.sampled_from(["amd64", "i386", ""]),
    ),
    max_size=12,
)
FOUND = st.lists(
    st.builds(images.Finding, *map(st.sampled_from, (["C1", "C2"], "ab", "12", images.SEVERITIES))), max_size=4
)
PLATFORMS = st.sets(st.sampled_from([AMD, ARM, "linux/s390x"]), min_size=1)


@st.composite
def image(draw: Any) -> images.Image:
    platforms = draw(PLATFORMS)
    systems = st.sampled_from(["debian 12", "debian 13"])
    sboms = {name: sbom(*draw(ANY), system=draw(systems)) for name in platforms if draw(st.integers(0, 3))}
    base = draw(st.integers(0, 1))
    return images.image(record(draw(st.integers()), tuple(platforms), base), sboms, draw(st.none() | FOUND))


@given(image())
def test_an_image_does_not_differ_from_itself(a: images.Image) -> None:
    found = images.difference(a, a)
    assert found.empty
    assert not found.unseen or images.sentence(found).endswith("without SBOM")
    assert images.unchanged(a, a)


@given(image(), image())
def test_the_difference_the_other_way_is_its_mirror(a: images.Image, b: images.Image) -> None:
    def turned(changes: tuple[images.Change, ...]) -> tuple[images.Change, ...]:
        return tuple(sorted(replace(one, before=one.after, after=one.before) for one in changes))

    there, back = images.difference(a, b), images.difference(b, a)
    assert back == images.Difference(
        upgraded=turned(there.downgraded),
        downgraded=turned(there.upgraded),
        changed=turned(there.changed),
        added=turned(there.removed),
        removed=turned(there.added),
        fixed=there.new,
        new=there.fixed,
        base=there.base[::-1],
        distribution=there.distribution[::-1],
        platforms_added=there.platforms_removed,
        platforms_removed=there.platforms_added,
    )
    assert (there.unseen, there.compared) == (back.unseen, back.compared)
    if images.unchanged(a, b) and a.record["platforms"] != b.record["platforms"]:
        kinds = [getattr(there, kind) for kind in images.KINDS]
        assert (kinds, there.base, there.distribution, there.unseen) == ([()] * 5, (), (), ())


# ---- The same image again


A = "pkg:deb/debian/a@1?arch=amd64"


@pytest.mark.parametrize(
    "after",
    [
        one("pkg:deb/debian/a@2?arch=amd64", build=2),
        one(A, "pkg:deb/debian/b@1", build=2),
        one("pkg:deb/debian/a@1?arch=i386", build=2),
        one(A, build=2, base=2),
        one(A, build=2, config=digest("other")),
        one(A, build=2, platforms=(AMD, ARM)),
        images.image(record(2), {AMD: sbom(A, system="debian 12.6")}),
        images.image(record(2), {}),
    ],
    ids=["version", "package", "architecture", "base", "config", "platform", "distribution", "no-sbom"],
)
def test_an_image_in_which_anything_known_differs_is_another(after: images.Image) -> None:
    before = one(A)
    assert images.unchanged(before, after) == images.unchanged(after, before) == ""
    assert images.unchanged(after, after) == "every platform has the same digest"


def test_what_was_built_again_of_the_same_is_the_same() -> None:
    says = "the same 1 package on linux/amd64, and the same base image"
    assert images.unchanged(one(A, build=1, config=digest(1)), one(A, build=2, config=digest(1))) == says


@pytest.mark.parametrize(
    "sides",
    [
        [one(build=build) for build in (1, 2)],
        [one("pkg:npm/shop", build=build) for build in (1, 2)],
        [images.image({**record(build), "base": None}, {AMD: sbom(A)}) for build in (1, 2)],
    ],
    ids=["no-package", "no-version", "no-base"],
)
def test_where_nothing_is_known_nothing_is_known_to_be_the_same(sides: list[images.Image]) -> None:
    assert images.unchanged(*sides) == ""


# ---- Telling


def test_a_table_has_fifty_rows_and_says_how_many_more_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = images.difference(one(), one(*(f"pkg:pypi/p{number}@1" for number in range(53))))
    text = tables(monkeypatch, tmp_path, found)
    assert text.count("| added |") == 50
    assert "| and 3 more |" in text
    assert len(images.document(found)["packages"]["added"]) == 53
    found = images.difference(one(), one(*(f"pkg:pypi/p{number}@1" for number in range(50))))
    (tmp_path / "summary.md").unlink()
    assert " more |" not in tables(monkeypatch, tmp_path, found)


def test_text_of_others_stays_text(
    job: Any, inert: Callable[..., None], hostile: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from urllib.parse import quote

    purls = [f"pkg:deb/debian/{quote(text, safe='')}@{quote(text, safe='')}?arch=x" for text in hostile.values()]
    components = [{"type": "library", "name": text, "version": text} for text in hostile.values()]
    document = {**sbom(*purls, system=hostile["markdown"]), "components": [*sbom(*purls)["components"], *components]}
    platforms = {**record()["platforms"], hostile["markdown"]: digest(1), hostile["commands"]: digest(2)}
    base = {"image": hostile["markdown"], "digest": digest(0)}
    found = [images.Finding(text, text, text, "low", text) for text in hostile.values()]
    after = images.image({**record(2), "platforms": platforms, "base": base}, {AMD: document}, found)
    summary = tables(monkeypatch, tmp_path, images.difference(one(), after))
    assert summary.count("| added |") >= len(hostile)
    conftest = type("Ran", (), {"out": "", "summary": summary, "commands": [], "outputs": {}})
    inert(job, conftest)


@pytest.mark.parametrize(
    "change",
    [
        {"platforms": {}},
        {"platforms": [AMD]},
        {"platforms": {AMD: "latest"}},
        {"digest": None},
        {"base": {"image": "debian"}},
        {"base": "debian"},
        {"base": {"image": 1, "digest": digest(1)}},
    ],
    ids=repr,
)
def test_another_image_json_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(runner.Failed, match=r"image\.json is not that of an image"):
        images.image({**record(), **change}, {})


@pytest.mark.parametrize(
    "content", [{}, [], {"bomFormat": "SPDX"}, {"bomFormat": "CycloneDX", "components": [{}]}], ids=repr
)
def test_what_is_no_sbom_or_report_is_refused(content: Any) -> None:
    with pytest.raises(runner.Failed, match="the SBOM cannot be read"):
        images.packages(content)
    with pytest.raises(runner.Failed, match="the report cannot be read"):
        images.findings(content)
    with pytest.raises(runner.Failed, match=f"there is an SBOM of {ARM}, and image.json knows no such platform"):
        images.image(record(), {ARM: sbom()})


# ---- Which version is newer


def text(*parts: str, most: int = 6) -> Any:
    return st.lists(st.sampled_from(parts), min_size=1, max_size=most).map("".join)


DEBIAN = st.builds("{}{}{}{}".format, st.sampled_from(["", "0:", "1:"]), st.sampled_from("019"), *[
    text("", "0", "1", "10", "a", "Z", "~", "+", ".", "-"), text("", "-1", "-0", "+b1", "~bpo1")
]).filter(lambda version: not version.endswith("-"))  # fmt: skip
PYTHON = text("1", "2", "0", "10", ".", "a", "rc", "post", "dev", "-", "+", "!", "b", "_", "r", "v", most=7)
ALPINE = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["0", "1", "10"]),
    text("", ".0", ".1", ".10", ".01", ".05", most=2),
    st.sampled_from(["", "", "a", "b"]),
    text("", "_alpha", "_rc1", "_rc2", "_p", "_p1", "_git20200101", "_pre", most=2),
    st.sampled_from(["", "-r0", "-r1", "-r10"]),
)
RPM = st.builds(
    "{}1{}-{}".format,
    st.sampled_from(["", "", "1:"]),
    text("1", "2", "0", "10", ".", "a", "rc", "~", "^", "_", "el", most=5),
    st.sampled_from(["1.el9", "2.el9", "1.el9_2", "10.el9", "0~a", "1^b"]),
)
SEMVER = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "v"]),
    st.sampled_from(["1", "1.0.0", "1.2.0", "1.10.0"]),
    st.sampled_from(["", "-alpha", "-alpha.1", "-rc.2", "-rc.10", "-1", "-rc.x"]),
    st.sampled_from(["", "+build.5"]),
)
KNOWN = {"deb": DEBIAN, "pypi": PYTHON, "apk": ALPINE, "rpm": RPM, "npm": SEMVER}


@pytest.mark.parametrize("kind", KNOWN)
def test_versions_of_an_ecosystem_are_in_one_order(kind: str) -> None:
    @given(*[KNOWN[kind].filter(lambda version: versions.key(kind, version) is not None)] * 3)
    def holds(a: str, b: str, c: str) -> None:
        def order(one: str, other: str) -> int:
            found = versions.order(kind, one, other)
            assert found is not None
            return found

        assert order(a, a) == 0
        assert order(a, b) == -order(b, a)
        for one, two, three in itertools.permutations((a, b, c)):
            if order(one, two) <= 0 and order(two, three) <= 0:
                assert order(one, three) == max(order(one, two), order(two, three), key=abs)

    holds()


@pytest.mark.needs("dpkg")
@settings(deadline=None)
@given(DEBIAN, DEBIAN)
def test_dpkg_has_the_same_order(a: str, b: str) -> None:
    def says(relation: str) -> bool:
        ran = subprocess.run(["dpkg", "--compare-versions", a, relation, b], check=False, capture_output=True)
        assert (ran.stderr, ran.returncode in (0, 1)) == (b"", True)
        return ran.returncode == 0

    assert versions.order("deb", a, b) == (-1 if says("lt") else 1 if says("gt") else 0)


@settings(max_examples=1000)
@given(PYTHON, PYTHON)
def test_packaging_has_the_same_order_and_knows_the_same_versions(a: str, b: str) -> None:
    def known(version: str) -> Version | None:
        try:
            return Version(version)
        except InvalidVersion:
            return None

    mine, theirs = known(a), known(b)
    expected = (mine > theirs) - (mine < theirs) if mine and theirs else None
    assert versions.order("pypi", a, b) == expected


@pytest.mark.parametrize(("kind", "system"), [("apk", "alpine 3.19"), ("rpm", "alma 9"), ("deb", "debian 12")])
def test_trivy_has_the_same_order(tmp_path: Path, kind: str, system: str) -> None:
    """A package is vulnerable if it is older than the version that mends it: a database of such, and an SBOM."""
    from dpra.rehearsal import advisories

    chance = random.Random(1)  # noqa: S311 - one start of trivy for many pairs, so not Hypothesis
    name, _, release = system.partition(" ")
    parts = {
        "apk": [
            ["0", "1", "10"],
            ["", ".1", ".10", ".01", ".05.1"],
            ["", "a", "_rc1", "_p1", "_alpha"],
            ["", "-r1", "-r10"],
        ],
        "rpm": [["", "1:"], ["1", "1.2", "1.10"], ["", "~rc1", "^git", ".el", "_1"], ["-1.el9", "-10.el9", "-1.el9_2"]],
        "deb": [["", "1:"], ["1", "1.2", "1.10"], ["", "~rc1", "+b", "a"], ["-1", "-10", "-1~bpo", "-1+deb12u1"]],
    }[kind]
    pairs = [["".join(map(chance.choice, parts)) for _ in "ab"] for _ in range(600)]
    environment = advisories.write(tmp_path / "cache")
    tree: Any = {"data-source": {}, "vulnerability": {}, system: {}}
    document = sbom(*(f"pkg:{kind}/{name}/p{i}@{a.replace('+', '%2B')}" for i, (a, _) in enumerate(pairs)))
    [distribution, *components] = document["components"]
    said = {"Type": name, "Class": "os-pkgs"}
    distribution |= {"bom-ref": "os", "name": name, "version": release, "properties": properties(said)}
    for i, ((installed, fixed), component) in enumerate(zip(pairs, components, strict=True)):
        epoch, _, rest = installed.rpartition(":")
        purl = component["purl"].replace(installed.replace("+", "%2B"), rest.replace("+", "%2B"))
        component |= {"bom-ref": f"p{i}", "name": f"p{i}", "version": installed}
        component["purl"] = f"{purl}?arch=x86_64&distro={release}{f'&epoch={epoch}' if epoch else ''}"
        version, _, revision = rest.rpartition("-") if kind != "apk" else (rest, "", "")
        of = {"PkgType": name, "SrcName": f"p{i}", "SrcVersion": version, "SrcEpoch": epoch, "SrcRelease": revision}
        component["properties"] = properties(of)
        tree[system][f"p{i}"] = {f"CVE-2020-{i:05}": json.dumps({"FixedVersion": fixed}).encode()}
        tree["vulnerability"][f"CVE-2020-{i:05}"] = json.dumps({"Severity": "HIGH"}).encode()
    (tmp_path / "cache/db/trivy.db").write_bytes(advisories.database(tree))
    document |= {"specVersion": "1.6", "version": 1}
    document["metadata"] = {"component": {"bom-ref": "all", "type": "application", "name": "all"}}
    document["dependencies"] = [{"ref": "all", "dependsOn": ["os"]}]
    document["dependencies"] += [{"ref": "os", "dependsOn": [one["bom-ref"] for one in components]}]
    (tmp_path / "sbom.json").write_text(json.dumps(document))
    words = ["trivy", "sbom", *QUIET, "--format", "json", str(tmp_path / "sbom.json")]
    ran = subprocess.run(words, env={**os.environ, **environment}, cwd=tmp_path, check=True, capture_output=True)
    vulnerable = {one.package for one in images.findings(json.loads(ran.stdout))}
    assert 100 < len(vulnerable) < 500
    wrong = [pair for i, pair in enumerate(pairs) if (versions.order(kind, *pair) == -1) != (f"p{i}" in vulnerable)]
    assert wrong == []


def properties(said: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": f"aquasecurity:trivy:{name}", "value": value} for name, value in said.items() if value]


def test_semantic_versions_are_in_the_order_of_the_specification() -> None:
    """Source: https://semver.org/#spec-item-11"""
    ends = ["-alpha", "-alpha.1", "-alpha.beta", "-beta", "-beta.2", "-beta.11", "-rc.1", ""]
    for (place, one), (other_place, other) in itertools.product(enumerate(ends), repeat=2):
        expected = (place > other_place) - (place < other_place)
        assert versions.order("npm", f"1.0.0{one}", f"1.0.0{other}") == expected
    assert versions.order("golang", "v1.9.0", "v1.10.0+incompatible") == -1
    assert versions.order("cargo", "1.0.0+a", "1.0.0+b") == 0


@pytest.mark.parametrize("version", ["", "1-", "x y", "9" * 5000, "1\u0662", "1\n"])
def test_what_is_no_version_has_no_place(version: str) -> None:
    for kind in (*KNOWN, "gem"):
        assert versions.order(kind, version, "1") is None
        assert versions.order(kind, "1", version) is None
