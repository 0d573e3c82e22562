"""Monitors of an AppConfig environment: alarms by which AppConfig takes a deployment back, whatever its strategy.

Where something goes back, goes off or mends, those are left aside whose alarm is not OK: AppConfig would take that
back, too, also when an alarm has no data
(https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-creating-environment.html).
Meanwhile tags of the environment remember them, so that whoever comes after a lost runner puts them on again:

    dpra:monitor:<number>:<from>  a monitor, from that character of its text on: a tag has 256
"""

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import alarms
import aws
import runner
from appconfig import MONITOR, Place, tag, untag

LONGEST = 256  # characters of a tag's value
QUIET = ("OK", "missing")  # states of an alarm in which its monitor takes nothing back


@contextmanager
def aside(place: Place) -> Iterator[None]:
    """While this lasts the environment has no monitor whose alarm is not OK at its beginning."""
    there = aws.call(place.region, "appconfig", "get-environment", **place.ids).get("Monitors", [])
    names = {one["AlarmArn"]: one["AlarmArn"].partition(":alarm:")[2] for one in there}
    states = alarms.states(place.region, list(names.values())) if names else {}
    loud = [one for one in there if states[names[one["AlarmArn"]]] not in QUIET]
    if not loud:
        yield
        return
    told = ", ".join(f"{names[one['AlarmArn']]} is {states[names[one['AlarmArn']]]}" for one in loud)
    runner.warning(f"{place.region}: {told}: its monitor would take this back, and is off until it is deployed")
    said = [base64.urlsafe_b64encode(json.dumps(one).encode()).decode() for one in loud]  # of letters that a tag takes
    tags = {
        f"{MONITOR}{number}:{start:04}": text[start : start + LONGEST]
        for number, text in enumerate(said)
        for start in range(0, len(text), LONGEST)
    }
    tag(place, tags)
    change(place, [one for one in there if one not in loud])
    try:
        yield
    finally:
        put_on(place, tags)


def put_on(place: Place, tags: Mapping[str, str]) -> None:
    """Every monitor that tags remember is on again; there may be none."""
    kept: dict[str, str] = {}
    for key in (keys := sorted(key for key in tags if key.startswith(MONITOR))):
        number = key.removeprefix(MONITOR).partition(":")[0]
        kept[number] = kept.get(number, "") + tags[key]
    if not kept:
        return
    there = aws.call(place.region, "appconfig", "get-environment", **place.ids).get("Monitors", [])
    known = {one["AlarmArn"] for one in there}
    lost: list[dict[str, str]] = [json.loads(base64.urlsafe_b64decode(text)) for text in kept.values()]
    change(place, [*there, *(one for one in lost if one["AlarmArn"] not in known)])
    untag(place, keys)


def change(place: Place, wanted: list[dict[str, str]]) -> None:
    aws.call(place.region, "appconfig", "update-environment", **place.ids, Monitors=wanted)
