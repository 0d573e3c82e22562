"""What the roles that dpra makes may do, as the templates say it that it generates."""

import functools
import json
import re
from typing import Any

from dpra import catalogue, problems, render
from dpra.spec import reader
from moto.cloudformation.models import Stack


def of(spec: str, environment: str, role: str) -> list[dict[str, Any]]:
    """The statements of a role, by a spec, an environment and its logical name, as CloudFormation makes them there."""
    return list(json.loads(_of(spec, environment, role)))


@functools.cache
def _of(spec: str, environment: str, role: str) -> str:
    plan = problems.planned(reader.read(spec.encode(), catalogue.words()))
    template = Stack.parse_template(render.infrastructure(plan)[f"infrastructure/dpra/{environment}.yml"])
    known = {"Partition": "aws", "AccountId": plan.environments[environment].account}

    def made(value: Any) -> Any:
        if isinstance(value, dict) and "Fn::Sub" in value:
            return re.sub(r"\$\{AWS::(\w+)\}", lambda found: known[found[1]], value["Fn::Sub"])
        if isinstance(value, dict):
            return {name: made(one) for name, one in value.items()}
        return [made(one) for one in value] if isinstance(value, list) else value

    policies = made(template["Resources"][role]["Properties"]["Policies"])
    said = json.dumps([one for policy in policies for one in policy["PolicyDocument"]["Statement"]])
    assert '"Ref"' not in said
    return said
