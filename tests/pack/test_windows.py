"""Deployment windows hold a release back, and say when it may go."""

import datetime

import pytest

OFFICE = {"days": ["mon", "tue", "wed", "thu"], "hours": "09:00-16:00", "timezone": "Europe/Berlin"}
FROZEN = {"freeze": ["2026-12-24/2027-01-02", "2026-11-30"]}


def closed(windows: dict[str, object], now: str) -> str:
    import windows as module

    return str(module.closed(windows, datetime.datetime.fromisoformat(now)))


@pytest.mark.parametrize(
    ("windows", "now"),
    [
        ({}, "2026-11-29T03:00:00+00:00"),
        (OFFICE, "2026-11-24T08:00:00+00:00"),  # a Tuesday, 09:00 in Berlin
        (OFFICE, "2026-11-24T14:59:59+00:00"),
        (OFFICE, "2026-07-14T07:00:00+00:00"),  # 09:00 in summer
        (OFFICE, "2026-11-24T23:30:00+14:00"),  # 10:30 in Berlin
        ({"hours": "20:00-24:00"}, "2026-11-24T23:59:00+00:00"),
        (FROZEN, "2026-12-23T23:59:59+00:00"),
        (FROZEN, "2027-01-03T00:00:00+00:00"),
    ],
)
def test_it_is_open(windows: dict[str, object], now: str) -> None:
    assert closed(windows, now) == ""


@pytest.mark.parametrize(
    ("windows", "now", "why", "opens"),
    [
        (OFFICE, "2026-11-24T07:59:59+00:00", "it is 08:59 CET, outside 09:00-16:00", "2026-11-24 09:00"),
        (OFFICE, "2026-11-24T15:00:00+00:00", "it is 16:00 CET", "2026-11-25 09:00"),
        (OFFICE, "2026-07-14T14:00:00+00:00", "it is 16:00 CEST", "2026-07-15 09:00"),
        (OFFICE, "2026-11-27T10:00:00+00:00", "no release goes to production on fri", "2026-11-30 09:00"),
        (OFFICE, "2026-03-27T10:00:00+00:00", "on fri", "2026-03-30 09:00 CEST"),  # over the change to summer time
        (FROZEN, "2026-12-24T00:00:00+00:00", "2026-12-24/2027-01-02 is frozen", "2027-01-03 00:00"),
        (FROZEN, "2027-01-02T23:59:59+00:00", "is frozen", "2027-01-03 00:00"),
        (FROZEN, "2026-11-30T12:00:00+00:00", "2026-11-30 is frozen", "2026-12-01 00:00"),
        ({**OFFICE, **FROZEN}, "2026-12-24T10:00:00+00:00", "is frozen", "2027-01-04 09:00"),
    ],
)
def test_it_is_closed_and_says_until_when(windows: dict[str, object], now: str, why: str, opens: str) -> None:
    said = closed(windows, now)
    assert why in said
    assert f"the window opens {opens}" in said
