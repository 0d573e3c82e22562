"""What Amazon Inspector found in a machine's image, as it goes from the bake to the gate: inspector.json.

It lies in the release's package, so the digest of the release is its own, too. It says image (the ARN of the build in
EC2 Image Builder), ami, count, and findings, one for each package: id (such as CVE-2023-4911), severity and fix in
Inspector's words, package, version, and fixed, the version that mends it. Who reads it believes none of it: a severity
or a name that is not known is no finding to leave out, but a file that is not this one.
Source: https://docs.aws.amazon.com/imagebuilder/latest/APIReference/API_ImageScanFinding.html
"""

import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

import runner

# Inspector's words -> the gate's; what nobody has weighed yet is low for Trivy, too.
SEVERITIES = {
    **{word.upper(): word for word in ("critical", "high", "medium", "low")},
    **dict.fromkeys(("INFORMATIONAL", "UNTRIAGED"), "low"),
}
FIXES = ("YES", "PARTIAL", "NO", "")
NO_VERSION = "NotAvailable"  # Inspector's word where no version mends a package
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
WORD = re.compile(r"[!-~]{0,256}")
LARGEST = 64 * 2**20  # bytes
WRONG = (AttributeError, KeyError, TypeError, ValueError)
AGAIN = "build the image again, by a new run"


@dataclass(frozen=True)
class Found:
    id: str
    severity: str  # one of SEVERITIES
    fix: str  # one of FIXES: whether all of the finding's packages can be mended, some, or none
    package: str
    version: str
    fixed: str

    @property
    def mendable(self) -> bool:
        """Whether there is a version that mends it, as far as anybody says: what is not said counts as one."""
        return self.fix != "NO" and not (self.fix == "PARTIAL" and not self.fixed)


def write(path: Path, image: str, ami: str, findings: Iterable[Mapping[str, Any]]) -> int:
    """Write what ListImageScanFindings said of an image; the number of packages.

    Raises:
        runner.Failed: it said something else.
    """
    try:
        found = [one for finding in findings for one in _of(finding, image)]
    except WRONG as problem:
        what = f"({type(problem).__name__}: {problem})"
        raise runner.Failed(f"what Amazon Inspector found cannot be read {what}: {AGAIN}", "error") from problem
    said = {"image": image, "ami": ami, "count": len(found), "findings": [asdict(one) for one in found]}
    path.write_text(json.dumps(said) + "\n", encoding="utf-8")
    return len(found)


def _of(finding: Mapping[str, Any], image: str) -> Iterator[Found]:
    if finding["imageBuildVersionArn"] != image:
        raise ValueError(f"a finding of {finding['imageBuildVersionArn']}")
    about = finding["packageVulnerabilityDetails"]
    common = (str(about["vulnerabilityId"]), str(finding["severity"]), str(finding.get("fixAvailable") or ""))
    for one in about.get("vulnerablePackages") or [{}]:
        fixed = str(one.get("fixedInVersion") or "")
        yield checked(Found(*common, str(one.get("name") or ""), _version(one), "" if fixed == NO_VERSION else fixed))


def _version(package: Mapping[str, Any]) -> str:
    """As package managers write it; an epoch of 0 is none."""
    version = str(package.get("version") or "")
    epoch, release = package.get("epoch") or 0, package.get("release")
    return f"{f'{epoch}:' if epoch else ''}{version}{f'-{release}' if release else ''}"


def checked(found: Found) -> Found:
    """The finding, if each of its words is one.

    Raises:
        ValueError: one is not.
    """
    if found.severity not in SEVERITIES or found.fix not in FIXES or not ID.fullmatch(found.id):
        raise ValueError(f"the finding {found.id[:99]!r}, {found.severity[:99]!r}, {found.fix[:99]!r}")
    if not all(WORD.fullmatch(word) for word in (found.package, found.version, found.fixed)):
        raise ValueError(f"the package of {found.id}")
    return found


def read(file: IO[bytes], ami: str = "") -> list[Found]:
    """What inspector.json says.

    Args:
        ami: the AMI that it must be of; empty for any.

    Raises:
        runner.Failed: it is not whole, or of another AMI.
    """
    try:
        content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ValueError(f"more than {LARGEST} bytes")
        said = json.loads(content)
        names = {field.name for field in fields(Found)}
        if any(
            one.keys() != names or not all(isinstance(word, str) for word in one.values()) for one in said["findings"]
        ):
            raise ValueError("a finding of another form")
        found = [checked(Found(**one)) for one in said["findings"]]
        if not said["image"] or said["count"] != len(found):
            raise ValueError(f"{len(found)} of {said['count']} findings")
        of = str(said["ami"])
    except (*WRONG, OSError, RecursionError, zipfile.BadZipFile, zlib.error) as problem:
        what = f"({type(problem).__name__}: {problem})"
        raise runner.Failed(
            f"inspector.json does not say what Amazon Inspector found {what}: {AGAIN}", "error"
        ) from None
    if ami and of != ami:
        raise runner.Failed(f"inspector.json is of {of}, and the image is {ami}: {AGAIN}")
    return found
