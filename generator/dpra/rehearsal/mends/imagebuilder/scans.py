"""What Amazon Inspector finds in the images of Image Builder: on the instance on which one is tested it sees the
packages of the AMI, and knows the rehearsal's own advisories.

Source: https://docs.aws.amazon.com/imagebuilder/latest/userguide/integ-inspector.html, and the texts of
ListImageScanFindings and ImageScanningConfiguration in botocore's model"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from moto.inspector2.models import inspector2_backends

from dpra import resources

from ... import advisories, roots
from ..protocol import Asked, Problem, Said
from .api import invalid, serves, stamp
from .store import Store, page

FILTERS = ("imageBuildVersionArn", "imagePipelineArn", "severity", "vulnerabilityId")
LATE: set[tuple[str, str]] = set()  # account and region whose next scan does not end in time: a fault of the rehearsal


def wanted(asked: Mapping[str, Any]) -> bool:
    return bool(asked.get("imageScanningConfiguration", {}).get("imageScanningEnabled"))


def check(store: Store, asked: Asked, tests: bool) -> None:
    """Refuse a scan where there is none to be had.

    Source of the words: https://github.com/aws/aws-cdk/pull/37061"""
    if not wanted(asked):
        return
    if asked["imageScanningConfiguration"].get("imageScanningTypes", ["TEST_INSTANCE_CVE"]) != ["TEST_INSTANCE_CVE"]:
        raise Problem("NotImplemented", "the rehearsal's Inspector scans test instances")
    if not tests:
        raise invalid("imageScanningConfiguration", "You must also enable image tests.")
    known = inspector2_backends[store.account_id][store.region_name].account_status.get(store.account_id)
    if known is None or known.ec2 != "ENABLED":
        said = f"Amazon Inspector is not enabled for 'ec2' resources in account '{store.account_id}'."
        raise Problem("ResourceDependencyException", f"Resource dependency error: {said}")


def enable(account: str, region: str) -> None:
    """Switch it on for EC2, where it is not yet."""
    inspector2_backends[account][region].enable([account], ["EC2"])


def state(image: Any) -> Said:
    """How far the scan of an image is."""
    if image.status in ("FAILED", "CANCELLED"):
        return image.scan or {"status": "ABANDONED"}
    return image.scan or {"status": "SCANNING" if image.status == "TESTING" else "PENDING"}


def end(store: Store, image: Any) -> None:
    """The image is tested: keep what Inspector found till then."""
    if not wanted(image.said):
        return
    if (place := (store.account_id, store.region_name)) in LATE:
        LATE.remove(place)
        image.scan = {"status": "TIMED_OUT", "reason": "The scan did not finish in time."}
        return
    image.scan = {"status": "COMPLETED"}
    known = {"awsAccountId": store.account_id, "imageBuildVersionArn": image.arn, "type": "PACKAGE_VULNERABILITY"}
    store.findings += [{**known, **one} for one in found(roots.of_image(image.built))]


def found(root: Path) -> Iterator[Said]:
    """The findings in a root that is a Debian, by its packages' sources, as Debian's advisories have it."""
    release = dict(re.findall(r'(?m)^(\w+)="?([^"\n]*)', (root / "etc/os-release").read_text(encoding="utf-8")))
    system = f"{release.get('ID')} {release.get('VERSION_ID', '').partition('.')[0]}"
    order, every = resources.lib("package_versions").order, advisories.every()
    for package in packages((root / "var/lib/dpkg/status").read_text(encoding="utf-8", errors="replace")):
        source = package.get("Source", package["Package"]).partition(" ")[0]
        for one in (one for one in every if (one["ecosystem"], one["package"]) == (system, source)):
            if order("deb", package["Version"], one["patched"]) == -1:
                yield finding(package, one)


def packages(status: str) -> Iterator[dict[str, str]]:
    """What dpkg's list has installed."""
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"(?m)^([A-Za-z-]+): (.*)$", paragraph))
        if fields.get("Status", "").endswith(" installed") and {"Package", "Version"} <= fields.keys():
            yield fields


def finding(package: Mapping[str, str], advisory: Mapping[str, str]) -> Said:
    """As Inspector tells it; see the example of `aws imagebuilder list-image-scan-findings`."""
    epoch, _, version = package["Version"].rpartition(":")
    version, _, release = version.partition("-")
    vulnerable = {"name": package["Package"], "version": version, "epoch": int(epoch or 0), "packageManager": "OS"}
    vulnerable |= {"release": release} if release else {}
    return {
        "title": f"{advisory['id']} - {package['Package']}",
        "description": advisory["title"],
        "severity": advisory["severity"].upper(),
        "firstObservedAt": stamp(),
        "updatedAt": stamp(),
        "fixAvailable": "YES",
        "packageVulnerabilityDetails": {
            "vulnerabilityId": advisory["id"],
            "source": "DEBIAN_CVE",
            "vulnerablePackages": [{**vulnerable, "arch": "X86_64", "fixedInVersion": f"0:{advisory['patched']}"}],
        },
    }


@serves
def list_image_scan_findings(store: Store, asked: Asked) -> Said:
    listed = store.findings
    for one in asked.get("filters", ()):
        if one.get("name") not in FILTERS:
            raise invalid("filters", f"the filter {one.get('name')} is none of {', '.join(FILTERS)}")
        listed = [finding for finding in listed if value(finding, one["name"]) in one.get("values", ())]
    return page("findings", listed, asked)


def value(finding: Said, name: str) -> object:
    return finding.get("packageVulnerabilityDetails", {}).get(name) if name == "vulnerabilityId" else finding.get(name)
