"""What Inspector finds in the images of Image Builder: nothing, unless a test puts it into `Store.findings`."""

from ..protocol import Asked, Said
from .api import invalid, serves
from .store import Store, page

FILTERS = ("imageBuildVersionArn", "imagePipelineArn", "severity", "vulnerabilityId")


@serves
def list_image_scan_findings(store: Store, asked: Asked) -> Said:
    found = store.findings
    for one in asked.get("filters", ()):
        if one.get("name") not in FILTERS:
            raise invalid("filters", f"the filter {one.get('name')} is none of {', '.join(FILTERS)}")
        found = [finding for finding in found if value(finding, one["name"]) in one.get("values", ())]
    return page("findings", found, asked)


def value(finding: Said, name: str) -> object:
    return finding.get("packageVulnerabilityDetails", {}).get(name) if name == "vulnerabilityId" else finding.get(name)
