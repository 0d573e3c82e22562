"""Deployment windows: when a release may go to production."""

import datetime
from typing import Any
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def closed(windows: dict[str, Any], now: datetime.datetime) -> str:
    """Why no release may start now, and when one may; empty where it may.

    Args:
        windows: days, a list of DAYS; hours, HH:MM-HH:MM; timezone; freeze, a list of YYYY-MM-DD or two of them with
            `/` between. What is left out allows everything.
        now: with its time zone.
    """
    here = now.astimezone(ZoneInfo(windows.get("timezone") or "UTC"))
    if not (why := _closed(windows, here)):
        return ""
    hour = here.replace(minute=0, second=0, microsecond=0, fold=0)
    for quarters in range(1, 4 * 24 * 400):
        later = (hour + datetime.timedelta(minutes=15 * quarters)).replace(tzinfo=here.tzinfo)
        if later > here and not _closed(windows, later):
            return f"{why}; the window opens {later:%Y-%m-%d %H:%M} {later.tzname()}"
    return why


def _closed(windows: dict[str, Any], here: datetime.datetime) -> str:
    for frozen in windows.get("freeze") or ():
        first, _, last = str(frozen).partition("/")
        if first <= here.date().isoformat() <= (last or first):
            return f"{frozen} is frozen"
    if (days := windows.get("days")) and (day := DAYS[here.weekday()]) not in days:
        return f"no release goes to production on {day}"
    if hours := windows.get("hours"):
        begin, _, end = str(hours).partition("-")
        if not begin <= f"{here:%H:%M}" < end:
            return f"it is {here:%H:%M} {here.tzname()}, outside {hours}"
    return ""
