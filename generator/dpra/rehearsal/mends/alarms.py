"""CloudWatch: the history of alarms, which moto does not keep.

Each function replaces the one of moto that its docstring begins with, or adds it."""

# mypy: disable-error-code="attr-defined, method-assign"
import datetime
from typing import Any

from moto.cloudwatch.models import CloudWatchBackend
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import ActionResult

_set_alarm_state = CloudWatchBackend.set_alarm_state


def set_alarm_state(self: CloudWatchBackend, alarm_name: str, reason: str, reason_data: str, state_value: str) -> None:
    """CloudWatchBackend.set_alarm_state: and it is remembered."""
    before = self.alarms[alarm_name].state_value if alarm_name in self.alarms else ""
    _set_alarm_state(self, alarm_name, reason, reason_data, state_value)
    now = datetime.datetime.now(datetime.UTC)
    item = {"AlarmName": alarm_name, "AlarmType": "MetricAlarm", "Timestamp": now, "HistoryItemType": "StateUpdate"}
    item["HistorySummary"] = f"Alarm updated from {before} to {state_value}"
    self.__dict__.setdefault("dpra_history", []).append(item)


def describe_alarm_history(self: CloudWatchResponse) -> ActionResult:
    """CloudWatchResponse.describe_alarm_history: of one alarm, since a time."""
    name, since = self._get_param("AlarmName"), self._get_param("StartDate")
    if isinstance(since, str):
        since = datetime.datetime.fromisoformat(since)
    if since and not since.tzinfo:
        since = since.replace(tzinfo=datetime.UTC)
    items: list[dict[str, Any]] = self.cloudwatch_backend.__dict__.get("dpra_history", [])
    found = [item for item in items if item["AlarmName"] == name and (not since or item["Timestamp"] >= since)]
    return ActionResult({"AlarmHistoryItems": found})


def mend() -> None:
    """Put them in place."""
    CloudWatchBackend.set_alarm_state = set_alarm_state
    CloudWatchResponse.describe_alarm_history = describe_alarm_history
