"""The account fleet pipeline: which units are delivered in which order, and how releases of a rehearsal differ."""

import json
from pathlib import Path, PurePosixPath

from dpra import documents
from dpra.plan import WAITS, Plan

ROOT = "root"  # how the files and the spec call the organisation's root


def problems(plan: Plan) -> dict[str, str]:
    """What is wrong with the waves: a unit that is delivered twice, a root that is not the last, a bake that no runner
    waits for."""
    found: dict[str, str] = {}
    seen: dict[str, str] = {}
    for name, where in plan.environments.items():
        for unit in where.units:
            if unit in seen:
                found[f"environments.{name}.waves"] = f"{unit} is delivered in {seen[unit]}"
            seen[unit] = name
        if where.bake > WAITS and not plan.protects:
            found[f"environments.{name}.bake"] = f"no runner waits for longer than {WAITS} minutes"
    last = plan.production
    if last and (not last.units or last.units[-1] != ROOT):
        found[f"environments.{last.id}.waves"] = (
            f"the last unit is {ROOT}: it has what no other wave has, and what is attached to the organisation's root"
        )
    elif ROOT in [unit for unit in seen][:-1]:
        found.setdefault(f"environments.{seen[ROOT]}.waves", f"{ROOT} is the last unit of all")
    return found


def missing(plan: Plan, root: Path) -> dict[str, str]:
    """What a fleet is made of, and the repository has not."""
    path = PurePosixPath(documents.folder_of(plan.spec), "organisation.yml")
    if (root / path).is_file():
        return {}
    return {"fleet.folder": f"{path} does not exist: create it, or say here where it lies"}


def edit(plan: Plan, repository: Path, word: str) -> None:
    """A guardrail that is another one with each word, attached to the organisation's root, a baseline that says it, and
    in each unit but the root an account of the word. The accounts of `bad` are in a unit that is not there, the
    guardrail of `locks-out` denies everything, and a test of `untrue` expects that what it denies is allowed."""
    folder = repository / plan.spec.fleet.folder
    if not (folder / "organisation.yml").exists():
        return
    statement = {"Sid": f"Rehearsed{word.title()}", "Effect": "Deny", "Action": f"sns:{word}", "Resource": "*"}
    if word == "locks-out":
        statement |= {"Sid": "LocksOut", "Action": "*"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    units = [unit for where in plan.environments.values() for unit in where.units if unit != ROOT]
    parameter = {"Name": "/rehearsed", "Type": "String", "Value": word}
    resources = {"Said": {"Type": "AWS::SSM::Parameter", "Properties": parameter}}
    files = {
        "baselines/rehearsed/baseline.yml": json.dumps({"targets": units, "regions": list(plan.spec.regions[:1])})
        + "\n",
        "baselines/rehearsed/template.yml": json.dumps({"Resources": resources}, indent=2) + "\n",
        "policies/rehearsed.yml": "type: service-control-policy\nattach: [root]\n",
        "policies/rehearsed.json": json.dumps(policy, indent=2) + "\n",
    }
    if word == "untrue":
        request = {"principal": "arn:aws:iam::{account}:role/any", "action": "sns:untrue", "resource": "*"}
        rows = [{**request, "expect": "allow"}]
        files["policies/tests/rehearsed.yml"] = json.dumps({"unit": ROOT, "rows": rows}) + "\n"
    for number, unit in enumerate(units, 1):
        name = f"rehearsed-{word}-{number}"
        lies_in = json.dumps("Nowhere" if word == "bad" else unit)
        said = f"unit: {lies_in}\naccounts:\n  {name}: {{email: aws+{name}@example.com}}\n"
        files[f"accounts/{name}.yml"] = said
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
