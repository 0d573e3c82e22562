"""The application pipeline: what may be wrong with how the component is deployed."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from dpra import deployers, resources
from dpra.plan import Plan
from dpra.spec.models import Base

DOCKERFILE = next(one.default for one in fields(Base) if one.name == "file")
LONGEST_SHIFT = 50  # minutes; AWS's credentials and the job live for an hour


def problems(plan: Plan) -> dict[str, str]:
    """What is wrong with `deploy`: a shift of traffic that takes too long, a database's settings."""
    spec, deploy, found = plan.spec, plan.spec.deploy, {}
    if deploy.ecs and spec.language != "container":
        found["deploy.with"] = "ecs deploys container images: say language: container"
    for name, minutes in (("ecs", _shift(deploy.ecs)), ("lambda", _shift(deploy.lambda_))):
        if minutes > LONGEST_SHIFT:
            found[f"deploy.{name}.pause"] = f"the shift takes {minutes} minutes; a job has time for {LONGEST_SHIFT}"
    return found | _base(plan) | _database(deploy.database)


def _base(plan: Plan) -> dict[str, str]:
    """A base image that nothing takes, or that this component makes itself."""
    said, deployer = plan.spec.base, plan.deployer
    if said is None or plan.spec.language == "container":
        return {}
    if deployer and not deployer.base:
        there = [tool.name for tool in deployers.every().values() if tool.base and "application" in tool.pipelines]
        return {"base": f"{deployer.name} deploys on no machine; these take one: {', '.join(there)}"}
    return {"base.file": "goes together with language: container"} if said.file != DOCKERFILE else {}


def missing(plan: Plan, root: Path) -> dict[str, str]:
    """A Dockerfile that is not there, or is made from another image."""
    said = plan.spec.base
    if said is None or plan.spec.language != "container":
        return {}
    if not (path := root / said.file).is_file():
        return {"base.file": f"{said.file} does not exist: create it, or say here which file it is"}
    if resources.lib("dockerfile").golden(path.read_text("utf-8", "replace"), said.account, said.image):
        return {}
    where = f"{said.account}.dkr.ecr.REGION.amazonaws.com/images/{said.image}@sha256:…"
    return {"base.file": f"no FROM in {said.file} names {where}: it is not made on this image"}


def _database(said: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    if not said:
        return found
    own = said.with_ == "command"
    for name, wanted in (("command", own), ("preview", own), ("url", not own)):
        if bool(getattr(said, name)) != wanted:
            found[f"deploy.database.{name}"] = f"{'is missing' if wanted else 'goes not together'} with {said.with_}"
    if said.user and said.secret:
        found["deploy.database.secret"] = "either user or secret"
    elif not own and not (said.user or said.secret):
        found["deploy.database"] = "needs user or secret"
    return found


def _shift(how: Any) -> int:
    """How many minutes it takes to send production's traffic to a release."""
    if not how or how.strategy in ("rolling", "all-at-once"):
        return 0
    steps = {"blue-green": 0, "canary": 1, "linear": -(-100 // how.percent) - 1}[how.strategy]
    return int(steps * how.pause + getattr(how, "bake", 0))
