"""AWS AppConfig: what runs in its environments, and what somebody does in its console."""

from collections.abc import Iterator, Mapping
from typing import Any

from dpra.graph import Environment
from dpra.plan import Plan

from ..result import Deployment

OURS, OFF, VERSION = "dpra:released", "dpra:off:", "dpra:version:"  # tags, as the deploy tool writes them


def running(plan: Plan) -> list[Deployment]:
    """What AppConfig's environments say of themselves; what is not as it was released is `foreign`."""
    return [found for where in plan.environments.values() if where.deploying for found in _running(where)]


def simulated(plan: Plan) -> tuple[str, ...]:
    """What of AppConfig a rehearsal only plays."""
    return (
        "AppConfig's environments, strategies, deployments, monitors, validators and data plane: dpra's own, made from "
        "botocore's model of them; the minutes of a strategy pass at once",
    )


def _running(where: Environment) -> Iterator[Deployment]:
    from ..mends.appconfig.store import STORES

    for region in where.regions:
        store = STORES[where.account][region]
        for application in store.applications.values():
            for own, environment in application.environments.items():
                tags = store.tags.get(store.arn("application", application.said["Id"], "environment", own), {})
                if OURS not in tags and not environment.deployments:
                    continue
                digest, _, commit = tags.get(OURS, "").partition("/")
                same = _versions(application, environment, tags)
                last = max(environment.deployments, default=0)
                state = [environment.deployments[last].state] if last else ["COMPLETE"]
                off = [f"off: {key.removeprefix(OFF)}" for key in sorted(tags) if key.startswith(OFF)]
                yield Deployment(
                    environment=where.id,
                    account=where.account,
                    region=region,
                    stack=f"{application.said['Name']}/{environment.said['Name']}",
                    status="; ".join([*off, *state]),
                    digest=digest if same else "",
                    commit=commit if same else "foreign",
                )


def _versions(application: Any, environment: Any, tags: Mapping[str, str]) -> bool:
    """Whether each profile is deployed in the version that the tags name."""
    from ..mends.appconfig.deployments import delivered

    names = {profile.said["Name"]: own for own, profile in application.profiles.items()}
    for key, said in tags.items():
        if key.startswith(VERSION):
            found = delivered(environment, names.get(key.removeprefix(VERSION), ""))
            if found is None or str(found.said["ConfigurationVersion"]) != said.partition("/")[0]:
                return False
    return OURS in tags


def forget(plan: Plan, where: Environment) -> None:
    """As if nothing had ever been deployed to an environment: what has no versions can be deleted."""
    from ..mends.appconfig.store import STORES

    for region in where.regions:
        for application in STORES[where.account][region].applications.values():
            for profile in application.profiles.values():
                profile.versions.clear()
            for environment in application.environments.values():
                environment.deployments.clear()


def console(plan: Plan, region: str, state: str) -> None:
    """Somebody turns a flag on in production's AppConfig, past the pipeline.

    Args:
        state: how far that has come: deploying or deployed.
    """
    from ..mends.appconfig.deployments import console_deploys

    where = plan.production
    if where:
        flag = {"flags": {"by-hand": {"name": "by-hand"}}, "values": {"by-hand": {"enabled": True}}}
        console_deploys(where.account, region, where.id, "flags", flag, state == "deployed")
