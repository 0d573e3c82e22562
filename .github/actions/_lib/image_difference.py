"""What differs between two images: packages, findings, base image, platforms. From their SBOMs and their image.json.

Packages are those of the operating system and of languages, as Trivy and syft list them in CycloneDX. A file that
belongs to no package is not among them.
"""

import itertools
import json
import re
import subprocess
import tempfile
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import clean
import head
import install
import package_versions
import runner

SHOWN = 50  # rows of a table: who reads more of them reads the JSON
SEVERITIES = ("critical", "high", "medium", "low", "unknown")
KINDS = ("upgraded", "downgraded", "changed", "added", "removed")
SYSTEM = ("alpm", "apk", "deb", "rpm")  # types of a purl whose namespace is the distribution
OWN = ("version", "digest", "platforms", "ami")  # of image.json: what another build of the same changes
WRONG = (AttributeError, KeyError, TypeError, ValueError)


@dataclass(frozen=True, order=True)
class Package:
    type: str  # of its purl: deb, pypi, …; empty where it has none
    namespace: str
    name: str
    version: str  # with its epoch
    architecture: str = ""

    @property
    def title(self) -> str:
        named = [self.namespace] if self.namespace and self.type not in SYSTEM else []
        return (":" if self.type == "maven" else "/").join((*named, self.name))


@dataclass(frozen=True)
class Finding:
    id: str  # such as CVE-2019-14697
    package: str
    version: str
    severity: str  # one of SEVERITIES
    fixed: str = ""  # the version that mends it; empty where there is none

    @property
    def mark(self) -> tuple[str, str]:
        """The same in another version of the package that has it, too."""
        return self.id, self.package


@dataclass(frozen=True)
class Image:
    """An image, as far as it is known."""

    record: Mapping[str, Any]  # its image.json
    packages: Mapping[str, frozenset[Package]]  # by platform
    distributions: Mapping[str, str]  # by platform, such as "debian 12.5"
    findings: tuple[Finding, ...] | None  # None where nobody looked

    @property
    def platforms(self) -> frozenset[str]:
        return frozenset(self.record["platforms"])

    @property
    def base(self) -> str:
        """The image that it was built from, by digest; empty for one from scratch."""
        said = self.record.get("base") or {}
        return f"{said['image']}@{said['digest']}" if said else ""


@dataclass(frozen=True, order=True)
class Change:
    """What became of one package."""

    type: str
    name: str
    before: tuple[str, ...]  # the versions that are gone
    after: tuple[str, ...]  # the versions that came
    platforms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Difference:
    """What is in the second image and not in the first, and the other way round."""

    upgraded: tuple[Change, ...] = ()
    downgraded: tuple[Change, ...] = ()
    changed: tuple[Change, ...] = ()  # another version, and nobody knows which is newer
    added: tuple[Change, ...] = ()
    removed: tuple[Change, ...] = ()
    fixed: tuple[Finding, ...] = ()
    new: tuple[Finding, ...] = ()
    base: tuple[str, ...] = ()  # before and after, if it moved
    distribution: tuple[str, ...] = ()  # before and after, if it changed
    platforms_added: tuple[str, ...] = ()
    platforms_removed: tuple[str, ...] = ()
    # What was not looked at. Nothing can be said of it, so it makes no difference.
    unseen: tuple[str, ...] = field(default=(), compare=False)  # platforms of both with fewer than two SBOMs
    compared: bool = field(default=True, compare=False)  # whether there were findings of both

    @property
    def empty(self) -> bool:
        """Nothing that was looked at differs. The images can be others for all that: see `unchanged`."""
        return self == Difference()


# ---- Reading


def image(record: Mapping[str, Any], sboms: Mapping[str, Any], findings: Iterable[Finding] | None = None) -> Image:
    """An image by its image.json, its SBOMs by platform, and its findings of all platforms, if somebody looked.

    Raises:
        runner.Failed: what is given is not that.
    """
    digest = re.compile(r"sha256:[0-9a-f]{64}" + (r"|ami-[0-9a-f]+" if "ami" in record else ""))  # its base is one
    try:
        said = {**record["platforms"], "": record["digest"]}
        if base := record.get("base"):
            said["base"] = base["digest"]
            if not (isinstance(base["image"], str) and base["image"]):
                raise ValueError("base has no image")
        if wrong := [name for name, value in said.items() if not digest.fullmatch(value)] or not record["platforms"]:
            raise ValueError(f"no digest: {wrong}")
    except WRONG as problem:
        raise runner.Failed(f"image.json is not that of an image ({type(problem).__name__}: {problem})") from problem
    if strange := sorted(set(sboms) - set(record["platforms"])):
        raise runner.Failed(f"there is an SBOM of {', '.join(strange)}, and image.json knows no such platform")
    return Image(
        record,
        {platform: packages(sbom) for platform, sbom in sboms.items()},
        {platform: _distribution(sbom) for platform, sbom in sboms.items()},
        None if findings is None else tuple(findings),
    )


def packages(sbom: Mapping[str, Any]) -> frozenset[Package]:
    """The packages of a CycloneDX SBOM; files, applications and the operating system itself are none.

    Raises:
        runner.Failed: it is no such SBOM.
    """
    try:
        if sbom["bomFormat"] != "CycloneDX":
            raise ValueError("not CycloneDX")
        none = ("file", "application", "operating-system")
        return frozenset(_package(one) for one in sbom.get("components") or () if one["type"] not in none)
    except WRONG as problem:
        raise runner.Failed(f"the SBOM cannot be read ({type(problem).__name__}: {problem})") from problem


def _package(component: Mapping[str, Any]) -> Package:
    """Source: https://github.com/package-url/purl-spec"""
    name, version = str(component["name"]), str(component.get("version") or "")
    version = "" if version == "UNKNOWN" else version  # so syft says it
    whole, _, qualifiers = str(component.get("purl") or "").partition("#")[0].partition("?")
    match = re.fullmatch(r"pkg:/*([A-Za-z][\w.+-]*)/(?:(.+)/)?([^/@]+)(?:@([^/]*))?/*", whole, re.ASCII)
    if not match:
        return Package("", str(component.get("group") or ""), name, version)
    given = urllib.parse.parse_qs(qualifiers.replace("+", "%2B"))
    kind = match[1].lower()
    namespace, name, said = (urllib.parse.unquote(part or "") for part in match.groups()[1:])
    if kind == "pypi":
        name = re.sub("[-_.]+", "-", name).lower()
    version = said or version
    if (epoch := given.get("epoch", ["0"])[0]) != "0" and ":" not in version:  # Trivy has it beside the version
        version = f"{epoch}:{version}"
    return Package(kind, namespace, name, version, given.get("arch", [""])[0])


def _distribution(sbom: Mapping[str, Any]) -> str:
    systems = [one for one in sbom.get("components") or () if one["type"] == "operating-system"]
    return " ".join(str(systems[0].get(key) or "") for key in ("name", "version")).strip() if systems else ""


def findings(report: Mapping[str, Any]) -> tuple[Finding, ...]:
    """What a JSON report of Trivy's lists, each finding of a package once: the worst first.

    Raises:
        runner.Failed: it is no such report.
    """
    found: dict[tuple[str, str], Finding] = {}
    try:
        if "SchemaVersion" not in report:
            raise ValueError("not a report of Trivy's")
        for result in report.get("Results") or ():
            for one in result.get("Vulnerabilities") or ():
                severity = str(one.get("Severity") or "").lower()
                finding = Finding(
                    str(one["VulnerabilityID"]),
                    str(one["PkgName"]),
                    str(one.get("InstalledVersion") or ""),
                    severity if severity in SEVERITIES else "unknown",
                    str(one.get("FixedVersion") or ""),
                )
                known = found.setdefault(finding.mark, finding)
                found[finding.mark] = min(known, finding, key=_worst)
    except WRONG as problem:
        raise runner.Failed(f"the report cannot be read ({type(problem).__name__}: {problem})", "error") from problem
    return tuple(sorted(found.values(), key=_worst))


def _worst(finding: Finding) -> tuple[int, str, str, str, str]:
    place = SEVERITIES.index(finding.severity)
    return place, finding.id, finding.package, finding.version, finding.fixed


def vulnerabilities(sbom: Path, trivy: Path) -> tuple[Finding, ...]:
    """What the database of today knows of the packages in an SBOM, by Trivy as the check action installs it.

    Nothing of the repository tells Trivy what to leave out: it runs in an empty directory, with an empty HOME and the
    variables that the head of its file names.

    Args:
        trivy: the file of the check action that says where Trivy comes from.

    Raises:
        runner.Failed: Trivy cannot be installed, or did not do it.
    """
    data = head.header(trivy)
    folder, _ = install.ensure(trivy, data)
    environment = clean.environment(*data["environment"][0].split())
    with tempfile.TemporaryDirectory(dir=runner.temp()) as name:
        private = Path(name)
        empty, report = private / "empty.yaml", private / "report.json"
        (private / "home").mkdir()
        empty.touch()
        words = [str(folder / "trivy") if folder else "trivy", "sbom", "--config", str(empty)]
        words += ["--ignorefile", str(empty), "--disable-telemetry", "--skip-version-check", "--quiet"]
        words += ["--scanners", "vuln", "--format", "json", "--output", str(report), str(sbom.resolve())]
        environment |= {"HOME": str(private / "home"), "TMPDIR": str(private)}
        ran = subprocess.run(
            words, cwd=private / "home", env=environment, capture_output=True, text=True, errors="replace", check=False
        )
        try:
            if ran.returncode:
                raise ValueError(runner.ended(ran.returncode))
            read = json.loads(report.read_bytes())
        except (OSError, ValueError) as problem:
            for line in ran.stderr.splitlines()[-5:]:
                runner.say(line)
            raise runner.Failed(f"trivy cannot say what is known of {sbom.name}: {problem}", "error") from problem
    return findings(read)


# ---- Comparing


def difference(before: Image, after: Image) -> Difference:
    """What differs. The packages are compared of each platform that both have, and told once for all of them."""
    both = sorted(before.platforms & after.platforms)
    seen = [platform for platform in both if platform in before.packages and platform in after.packages]
    changes: dict[tuple[str, Change], list[str]] = {}
    systems: dict[tuple[str, str], None] = {}
    for platform in seen:
        for found in _changes(before.packages[platform], after.packages[platform]):
            changes.setdefault(found, []).append(platform)
        systems[before.distributions[platform], after.distributions[platform]] = None
    grouped: dict[str, list[Change]] = {kind: [] for kind in KINDS}
    for (kind, change), platforms in changes.items():
        grouped[kind].append(replace(change, platforms=tuple(platforms) if len(both) > 1 else ()))
    compared = before.findings is not None and after.findings is not None
    old, young = (_by_mark(one.findings if compared else ()) for one in (before, after))
    moved = [pair for pair in systems if pair[0] != pair[1]]
    return Difference(
        **{kind: tuple(sorted(some)) for kind, some in grouped.items()},
        fixed=_without(old, young),
        new=_without(young, old),
        base=(before.base, after.base) if before.base != after.base else (),
        distribution=tuple(", ".join(dict.fromkeys(side)) for side in zip(*moved, strict=True)),
        platforms_added=tuple(sorted(after.platforms - before.platforms)),
        platforms_removed=tuple(sorted(before.platforms - after.platforms)),
        unseen=tuple(platform for platform in both if platform not in seen),
        compared=compared,
    )


def _by_mark(found: Iterable[Finding] | None) -> dict[tuple[str, str], Finding]:
    return {finding.mark: finding for finding in sorted(found or (), key=_worst, reverse=True)}


def _without(some: Mapping[tuple[str, str], Finding], others: Mapping[tuple[str, str], Finding]) -> tuple[Finding, ...]:
    return tuple(sorted((one for mark, one in some.items() if mark not in others), key=_worst))


def _changes(before: frozenset[Package], after: frozenset[Package]) -> Iterator[tuple[str, Change]]:
    """Kind and change of each package, of which several versions and architectures may be there at once."""
    gone, came = _by_name(before - after), _by_name(after - before)
    architectures: dict[tuple[str, str, str], set[str]] = {}
    for one in before | after:
        architectures.setdefault((one.type, one.namespace, one.name), set()).add(one.architecture)
    for name in sorted({*gone, *came}):
        sides = gone.get(name, []), came.get(name, [])
        kind = _kind(name[0], *({one.version for one in side} for side in sides))
        several = len(architectures[name]) > 1
        told = (dict.fromkeys(_version(one, several) for one in side) for side in sides)
        [title] = {one.title for side in sides for one in side}
        yield kind, Change(name[0], title, *map(tuple, told))


def _by_name(some: Iterable[Package]) -> dict[tuple[str, str, str], list[Package]]:
    found: dict[tuple[str, str, str], list[Package]] = {}
    for one in sorted(some):
        found.setdefault((one.type, one.namespace, one.name), []).append(one)
    return found


def _version(package: Package, several: bool) -> str:
    """The version as it is told; with the architecture where there are several."""
    return f"{package.version} ({package.architecture})" if several and package.architecture else package.version


def _kind(kind: str, gone: set[str], came: set[str]) -> str:
    """What the versions that are gone and those that came make of a package; one of KINDS."""
    if not (gone and came):
        return "added" if came else "removed"
    keys = [[package_versions.key(kind, version) for version in side] for side in (gone, came)]
    if len({one[0] if one else None for side in keys for one in side}) > 1 or None in keys[0]:
        return "changed"
    old, young = (sorted(one[1] for one in side if one) for side in keys)
    pairs = list(zip(old, young, strict=True)) if len(old) == len(young) else []
    if all(one < other for one, other in pairs or [(old[-1], young[0])]):
        return "upgraded"
    return "downgraded" if all(one > other for one, other in pairs or [(old[0], young[-1])]) else "changed"


def unchanged(before: Image, after: Image) -> str:
    """Why an image that was built again is the same as before; empty where it is not, or nobody can know.

    It is if its platforms have the same digests. Else all that is known of it must be the same: the packages of every
    platform, each with its version, and all of image.json but version and digests. A file that belongs to no package is
    seen only by what image.json says of it, such as a digest of what went into the build: put that there.
    """
    if before.record["platforms"] == after.record["platforms"]:
        return "every platform has the same digest"
    said = [{name: value for name, value in one.record.items() if name not in OWN} for one in (before, after)]
    if before.platforms != after.platforms or said[0] != said[1] or not before.base:
        return ""
    for platform in before.platforms:
        sides = [one.packages.get(platform) for one in (before, after)]
        if not sides[0] or sides[0] != sides[1] or not all(package.version for package in sides[0]):
            return ""  # where no package is known, none is known to be the same
        if before.distributions[platform] != after.distributions[platform]:
            return ""
    count = len(frozenset().union(*before.packages.values()))
    return f"the same {_count(count, 'package')} on {', '.join(sorted(before.platforms))}, and the same base image"


# ---- Telling


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _told(thing: str, numbers: Mapping[str, int], always: Sequence[str]) -> str:
    """Such as "3 packages upgraded, 1 added, none removed"; what is `always` told is so where it is none, too."""
    some = [(number, kind) for kind, number in numbers.items() if number]
    if not some:
        return f"the same {thing}s"
    first = f"{_count(some[0][0], thing)} {some[0][1]}"
    rest = [f"{number} {kind}" for number, kind in some[1:]]
    return ", ".join([first, *rest, *(f"none {kind}" for kind in always if not numbers[kind])])


def sentence(found: Difference) -> str:
    """What differs, in one line without any text of others."""
    parts = [_told("package", {kind: len(getattr(found, kind)) for kind in KINDS}, ("upgraded", "added", "removed"))]
    few = _told("finding", {"new": len(found.new), "fixed": len(found.fixed)}, ("new", "fixed"))
    parts += [few if found.compared else "findings not compared"]
    parts += ["base image moved" if found.base else "the same base image"]
    parts += ["distribution changed"] if found.distribution else []
    numbers = {"added": len(found.platforms_added), "removed": len(found.platforms_removed)}
    parts += [_told("platform", numbers, ())] if any(numbers.values()) else []
    parts += [f"{_count(len(found.unseen), 'platform')} not compared, without SBOM"] if found.unseen else []
    return "; ".join(parts)


def markdown(found: Difference, title: str = "difference") -> None:
    """Tell it in the step summary: the sentence, what concerns security, then the packages."""
    runner.summary(f"{title}: {sentence(found)}")
    for name, some in (("new findings", found.new), ("findings fixed", found.fixed)):
        rows = [(one.severity, *map(runner.code, (one.id, one.package, one.version, one.fixed))) for one in some]
        _table(name, ("severity", "finding", "package", "version", "fixed in"), rows)
    pairs = [("base image", found.base), ("distribution", found.distribution)]
    rows = [(name, *map(_code, pair)) for name, pair in pairs if pair]
    if found.platforms_added or found.platforms_removed:
        rows.append(("platforms", *(_code(*some) for some in (found.platforms_removed, found.platforms_added))))
    rows += [("not compared, without SBOM", "", _code(one)) for one in found.unseen]
    _table("image", ("what", "before", "after"), rows)
    concerned = {finding.package.lower() for finding in (*found.new, *found.fixed)}
    every = [
        (kind, one)
        for kind in ("downgraded", "changed", "added", "removed", "upgraded")
        for one in getattr(found, kind)
    ]
    every.sort(key=lambda pair: pair[1].name.lower() not in concerned)  # those of findings first
    several = len({one.platforms for _, one in every}) > 1
    _table(
        "packages",
        ("package", "what", "before", "after", "type", *(["platforms"] if several else [])),
        [
            (
                *(runner.code(one.name), kind, _code(*one.before), _code(*one.after), runner.code(one.type)),
                *([_code(*one.platforms)] if several else []),
            )
            for kind, one in every
        ],
    )


def _code(*texts: str) -> str:
    return runner.code(", ".join(texts)) if any(texts) else ""


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if rows:
        more = [[f"and {len(rows) - SHOWN} more", *[""] * (len(columns) - 1)]] if len(rows) > SHOWN else []
        runner.summary(title, columns, itertools.chain(rows[:SHOWN], more))


def document(found: Difference) -> dict[str, Any]:
    """The whole of it for machines: what json.dumps takes."""
    pairs = {"base": found.base, "distribution": found.distribution}
    some = {"new": found.new, "fixed": found.fixed}
    return {
        "schema": 1,
        "summary": sentence(found),
        "empty": found.empty,
        "packages": {kind: [asdict(one) for one in getattr(found, kind)] for kind in KINDS},
        "findings": {kind: [asdict(one) for one in those] for kind, those in some.items()} if found.compared else None,
        **{name: dict(zip(("before", "after"), pair, strict=True)) if pair else None for name, pair in pairs.items()},
        "platforms": {"added": found.platforms_added, "removed": found.platforms_removed},
        "not-compared": found.unseen,
    }
