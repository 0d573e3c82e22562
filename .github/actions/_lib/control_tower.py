"""AWS Control Tower enrols an account by itself that comes into a registered unit; that is waited for.

Source: botocore's model of controltower, ListEnabledBaselines (includeChildren, parentIdentifiers, statusSummary), and
https://docs.aws.amazon.com/controltower/latest/userguide/types-of-baselines.html
"""

import time
from collections.abc import Mapping

import runner
from deployment import polls
from organisation import call

PATIENCE = 3600  # seconds that an account's enrolment takes at most


def registered(region: str) -> dict[str, str]:
    """The units that Control Tower governs, by their ids: the ARN of what is enabled for each."""
    listed = call(region, "controltower", "list-enabled-baselines")["enabledBaselines"]
    found = {one["targetIdentifier"].rpartition("/")[2]: str(one["arn"]) for one in listed}
    return {unit: arn for unit, arn in found.items() if unit.startswith("ou-")}


def enrolled(region: str, units: Mapping[str, str], account: str, unit: str) -> None:
    """Wait until Control Tower has enrolled an account of a unit, where it governs that.

    Raises:
        runner.Failed: it has not.
    """
    if unit not in units:
        return
    until, asked = time.monotonic() + PATIENCE, {"parentIdentifiers": [units[unit]]}
    for _ in polls():
        listed = call(region, "controltower", "list-enabled-baselines", filter=asked, includeChildren=True)
        states = [
            one["statusSummary"]["status"]
            for one in listed["enabledBaselines"]
            if one["targetIdentifier"].rpartition("/")[2] == account
        ]
        if states and set(states) == {"SUCCEEDED"}:
            runner.say(f"  Control Tower has enrolled {account}")
            return
        if "FAILED" in states:
            raise runner.Failed(f"Control Tower could not enrol {account}: see it there, then run the job again")
        if time.monotonic() > until:
            raise runner.Failed(
                f"Control Tower has not enrolled {account} within an hour: its landing zone must enrol accounts "
                "automatically; enrol it by hand, then run the job again"
            )
