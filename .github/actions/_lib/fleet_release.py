"""The fleet of a release, and the plan that was signed with it, as every job with a role reads them."""

import json
import tempfile
from pathlib import Path

import fleet as desired
import release
import runner
from fleet import Fleet
from fleet_plan import Plan

FILE = "fleet/fleet.json"  # of the package


def fleet(directory: Path, component: str) -> Fleet:
    """The fleet of a release's package.

    Raises:
        runner.Failed: it cannot be read, or is another component's.
    """
    with tempfile.TemporaryDirectory(dir=runner.temp()) as folder:
        release.unpack(directory, Path(folder))
        try:
            found = Fleet.from_json(json.loads(Path(folder, FILE).read_bytes()))
        except (OSError, ValueError) as problem:
            raise runner.Failed(f"the release's {FILE} cannot be read: {problem}", "error") from problem
    if found.component != component:
        raise runner.Failed(f"the release's {FILE} is of {found.component}, not of {component}", "error")
    return found


def plan(directory: Path, wanted: Fleet) -> Plan:
    """The plan that was signed with a release.

    Raises:
        runner.Failed: it cannot be read, is another fleet's, or cannot be applied.
    """
    try:
        found = Plan.from_json(json.loads((directory / release.PLAN).read_bytes()))
    except (OSError, ValueError) as problem:
        raise runner.Failed(f"the release's {release.PLAN} cannot be read: {problem}", "error") from problem
    if found.fleet != desired.digest(wanted.text):
        raise runner.Failed(f"the release's {release.PLAN} is of another fleet", "error")
    if found.refused:
        raise runner.Failed(f"the plan cannot be applied: {'; '.join(one.text for one in found.refused)}")
    return found
