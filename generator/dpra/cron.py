"""Cron expressions, as GitHub's schedules take them: minute, hour, day, month, day of the week."""

import datetime
import re

_YEAR = [datetime.date(2026, 1, 1) + datetime.timedelta(days) for days in range(365)]
_MONTHS = "- JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
_WEEK = "SUN MON TUE WED THU FRI SAT".split()


def starts(cron: str) -> int:
    """How often a schedule starts in a year.

    Raises:
        ValueError: it is no cron expression.
    """
    minute, hour, day, month, weekday = cron.split()
    minutes, hours, days, months = _field(minute, 0, 59), _field(hour, 0, 23), _field(day, 1, 31), _field(month, 1, 12)
    weekdays = _field(weekday, 0, 6)
    either = any if day != "*" and weekday != "*" else all  # POSIX: where both are limited, one of them is enough
    found = sum(one.month in months and either((one.day in days, one.isoweekday() % 7 in weekdays)) for one in _YEAR)
    return found * len(minutes) * len(hours)


def _field(text: str, least: int, most: int) -> set[int]:
    """The numbers that a field means.

    Source: https://docs.github.com/actions/reference/workflows-and-actions/events-that-trigger-workflows#schedule"""
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(?:\*|([0-9A-Z]+)(?:-([0-9A-Z]+))?)(?:/([0-9]+))?", part)
        if not match:
            raise ValueError(f"'{part}' is no part of a cron expression")
        first, last, step = match.groups()
        begin = _number(first, most) if first else least
        end = _number(last, most) if last else begin if first and not step else most
        if not (least <= begin <= end <= most) or step == "0":
            raise ValueError(f"'{part}' is not within {least} and {most}")
        found |= set(range(begin, end + 1, int(step or 1)))
    return found


def _number(text: str, most: int) -> int:
    names = {12: _MONTHS, 6: _WEEK}.get(most, [])
    if not text.isdigit() and text not in names:
        raise ValueError(f"'{text}' is no part of a cron expression")
    return int(text) if text.isdigit() else names.index(text)
