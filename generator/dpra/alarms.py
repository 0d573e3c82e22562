"""The alarms that the component's own template makes: a bake must be long enough for each of them to fire."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from dpra import resources
from dpra.plan import Plan

TYPE = "AWS::CloudWatch::Alarm"


def late(root: Path, plan: Plan) -> dict[str, str]:
    """What is wrong, by key: an alarm that would fire only when the bake is over.

    The reference implementations have it: alarms that trip after the traffic has shifted."""
    found = {}
    for where in plan.environments.values():
        for name, period, periods in known(root / plan.template) if where.bake and plan.template else ():
            if period * periods > 60 * where.bake:
                found[f"environments.{where.id}.bake"] = (
                    f"{where.bake} minutes end before the alarm {name} can fire: {period} s x {periods} evaluation "
                    f"periods; it needs {-(-period * periods // 60)}"
                )
    return found


def known(template: Path) -> list[tuple[str, int, int]]:
    """Each alarm of a CloudFormation template: its logical name, period in seconds, and evaluation periods."""
    try:
        content = template.read_bytes()
    except OSError:
        return []  # the package action says that it is missing
    if TYPE.encode() not in content:
        return []
    name = f"{hashlib.sha256(Path(__file__).read_bytes() + content).hexdigest()}-alarms.json"
    found = resources.once(name, lambda: json.dumps(_read(content)).encode())
    return [tuple(alarm) for alarm in json.loads(found)]


@cache
def document(content: bytes) -> Any:
    """A CloudFormation template with the tags of its functions and its lines; None for what is none."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        found = YAML().load(content.decode())  # knows no tag of CloudFormation's, and keeps each
        return found if isinstance(found.get("Resources"), dict) else None
    except (YAMLError, UnicodeDecodeError, AttributeError):
        return None  # cfn-lint says what is wrong with it


def _read(content: bytes) -> list[tuple[str, int, int]]:
    if (made := document(content)) is None:
        return []
    resources_, parameters = made["Resources"].items(), made.get("Parameters") or {}
    found = []
    for name, resource in resources_:
        if isinstance(resource, dict) and resource.get("Type") == TYPE:
            properties = resource.get("Properties") or {}
            metrics = properties.get("Metrics") or ()  # of an expression over several metrics, the slowest counts
            asked = [
                one["MetricStat"].get("Period") for one in metrics if isinstance(one, dict) and "MetricStat" in one
            ]
            said = [_number(one, parameters) for one in (properties.get("Period"), *asked)]
            periods = _number(properties.get("EvaluationPeriods"), parameters)
            found += [(str(name), max(said), periods)] if any(said) and periods else []
    return found


def _number(value: Any, parameters: Any) -> int:
    """A number as CloudFormation takes it, also by the default of a parameter; 0 for what is not known before."""
    reference = value.value if getattr(value, "tag", None) and str(value.tag.value) == "!Ref" else None
    if isinstance(value, dict):
        reference = value.get("Ref")
    if reference is not None:
        value = (parameters.get(reference) or {}).get("Default")
    return int(value) if isinstance(value, (int, str)) and str(value).isdigit() else 0
