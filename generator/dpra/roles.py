"""The roles that the component's own template makes: without the boundary, or outside of its path, AWS makes none."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dpra import alarms, names, resources
from dpra.graph import Environment
from dpra.plan import Plan

ROLE = "AWS::IAM::Role"
SAM = {"AWS::Serverless::Function": "Function", "AWS::Serverless::StateMachine": ""}  # and where their Globals are


def unbound(root: Path, plan: Plan) -> dict[str, str]:
    """What is wrong, by key: the first role that the policies of the accounts would not let CloudFormation make.

    Only what is written out is judged: what a parameter or a condition will say, AWS alone knows."""
    made = [
        where
        for where in plan.environments.values()
        if where.execution_role and f"{names.INFRASTRUCTURE}/{where.id}.yml" not in plan.spec.unmanaged
    ]
    if not made or not plan.template or plan.deployer is None or plan.deployer.deploys != "stacks":
        return {}
    try:
        content = (root / plan.template).read_bytes()
    except OSError:
        return {}  # the package action says that it is missing
    if not any(kind.encode() in content for kind in (ROLE, *SAM)):
        return {}
    asked = json.dumps([plan.spec.name, plan.template, [(one.id, one.account, one.boundary) for one in made]]).encode()
    name = f"{hashlib.sha256(Path(__file__).read_bytes() + asked + content).hexdigest()}-roles.json"
    return dict(json.loads(resources.once(name, lambda: json.dumps(_judged(content, made, plan)).encode())))


def _judged(content: bytes, made: list[Environment], plan: Plan) -> dict[str, str]:
    template = alarms.document(content)
    for name, given in _roles(template):
        for where in made:
            if missing := _missing(given, where, plan):
                place = f"{plan.template}:{template['Resources'].lc.key(name)[0] + 1}"
                said = f"{place}: AWS does not let {name} make a role in {where.id} without {missing}"
                return {"deploy.template": said}
    return {}


def _roles(template: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each role of a template: the logical name of what makes it, and its path and boundary as they stand there."""
    for name, resource in template["Resources"].items() if template else ():
        kind = resource.get("Type") if isinstance(resource, dict) else ""
        given = (resource.get("Properties") or {}) if kind == ROLE or kind in SAM else {}
        if kind == ROLE:
            yield (
                str(name),
                {"Path": given.get("Path", "/"), "PermissionsBoundary": given.get("PermissionsBoundary", "")},
            )
        elif kind in SAM and "Role" not in given:
            given = {**((template.get("Globals") or {}).get(SAM[kind]) or {}), **given}
            bound = given.get("PermissionsBoundary", "")
            yield str(name), {"RolePath": given.get("RolePath", "/"), "PermissionsBoundary": bound}


def _missing(given: dict[str, Any], where: Environment, plan: Plan) -> str:
    """What a role lacks in an environment, as the template would say it; empty where nothing is known to be wrong."""
    path, own = names.path(plan.spec), plan.spec.environments[where.id].permissions_boundary
    boundary = own or f"!Sub arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:policy/{names.boundary(plan.spec)}"
    lacks = []
    for key, value in given.items():
        said = _known(value, where, plan)
        if key == "PermissionsBoundary":
            lacks += [f"{key}: {boundary}"] if said not in (None, where.boundary) else []
        elif said is not None and not said.startswith(path):
            lacks.append(f"{key}: {path}")
    return " and ".join(lacks)


def _known(value: Any, where: Environment, plan: Plan) -> str | None:
    """A text as CloudFormation takes it in an environment; None for one that is not known before."""
    tag = getattr(getattr(value, "tag", None), "value", None)
    if tag == "!Sub" and hasattr(value, "value"):
        value = {"Fn::Sub": value.value}
    elif tag:
        return None
    if isinstance(value, dict) and isinstance(value.get("Fn::Sub"), str):
        known = {"${AWS::Partition}": plan.partition, "${AWS::AccountId}": where.account}
        value = re.sub(r"\$\{AWS::(?:Partition|AccountId)\}", lambda found: known[found[0]], value["Fn::Sub"])
        return None if "${" in value else value
    return value if isinstance(value, str) else None
