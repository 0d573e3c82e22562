"""AWS AppConfig's deployments: they go on by the rehearsal's clock, which itself goes on when somebody looks.

A look is GetDeployment, ListDeployments or GetEnvironment: it lets the clock pass until something happens next, so that
a deployment is COMPLETE at the third look at the latest, whatever its strategy's minutes. One that was started in the
console is waited for by nobody here: it goes on by the clock alone."""

import json
import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import field
from typing import Any

from moto.cloudwatch.models import cloudwatch_backends

from dpra.dataclasses import dataclass

from ..protocol import FRONT, Asked, Problem, Said, at, now, pass_until
from .api import serves
from .store import (
    STORES,
    Environment,
    Store,
    create_hosted_configuration_version,
    get_deployment_strategy,
    named,
    page,
    shown,
    told,
)
from .validators import validate, version_of

RUNNING = ("DEPLOYING", "BAKING", "ROLLING_BACK")
REVERTABLE = 72 * 3600  # seconds after a deployment is complete
# Source: https://docs.aws.amazon.com/appconfig/latest/userguide/monitoring-deployments.html
TRIGGERS = ("ALARM", "INSUFFICIENT_DATA")

DOOMED: set[tuple[str, str]] = set()  # account and region whose next deployment fails: a fault of the rehearsal


@dataclass
class Deployment:
    said: Said
    content: bytes  # AppConfig's copy of the version's
    content_type: str
    started: float  # seconds since 1970
    looks: bool = True  # whether the clock goes on for it when somebody looks
    doomed: bool = False
    events: list[Said] = field(default_factory=list)  # the newest first
    steps: list[tuple[float, str, float]] = field(default_factory=list)  # to come: when, which event, percentage

    @property
    def state(self) -> str:
        return str(self.said["State"])

    def happens(self, moment: float, kind: str, said: str, by: str = "APPCONFIG") -> None:
        self.events.insert(0, {"EventType": kind, "TriggeredBy": by, "Description": said, "OccurredAt": at(moment)})

    def ends(self, moment: float, state: str) -> None:
        self.said |= {"State": state, "CompletedAt": at(moment)}
        self.steps.clear()


def steps(strategy: Said, started: float) -> Iterator[tuple[float, str, float]]:
    """What comes of a deployment: when, which event, which percentage.

    Source: https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-creating-deployment-strategy.html"""
    factor, lasts = strategy["GrowthFactor"], 60.0 * strategy["DeploymentDurationInMinutes"]
    if strategy["GrowthType"] == "LINEAR":
        shares = [min(100.0, factor * number) for number in range(1, math.ceil(100 / factor) + 1)]
    else:
        shares = [min(100.0, factor * 2**number) for number in range(math.ceil(math.log2(100 / factor)) + 1)]
    for number, share in enumerate(shares if lasts else [100.0], 1):
        yield started + lasts * number / len(shares), "PERCENTAGE_UPDATED", share
    yield started + lasts, "BAKE_TIME_STARTED", 100.0
    yield started + lasts + 60.0 * strategy["FinalBakeTimeInMinutes"], "DEPLOYMENT_COMPLETED", 100.0


# ---- The time


def running(environment: Environment) -> Deployment | None:
    return next((one for one in environment.deployments.values() if one.state in RUNNING), None)


def look(store: Store, environment: Environment) -> None:
    """Somebody looks: what an alarm says comes before what time brings."""
    found = running(environment)
    if found is None:
        return
    if found.state == "ROLLING_BACK":
        roll_back(environment, found)
    elif found.doomed:
        go_back(environment, found, "An internal error has occurred: start a new deployment", "INTERNAL_ERROR")
    elif alarm := ringing(environment):
        go_back(environment, found, f"Rollback initiated by CloudWatch alarm: {alarm}", "CLOUDWATCH_ALARM")
    else:
        if found.looks:
            pass_until(next_moment(found))
        settle(environment, found)


def next_moment(found: Deployment) -> float:
    """When the share has grown once; then when all have it; then when it is complete."""
    growing = [moment for moment, kind, share in found.steps if kind == "PERCENTAGE_UPDATED" and share < 100]
    if growing and not found.said["PercentageComplete"]:
        return growing[0]
    return next(moment for moment, kind, _ in found.steps if kind != "PERCENTAGE_UPDATED")


def settle(environment: Environment, found: Deployment) -> None:
    """What has happened by now."""
    while found.steps and found.steps[0][0] <= now():
        moment, kind, share = found.steps.pop(0)
        found.said["PercentageComplete"] = share
        if kind == "PERCENTAGE_UPDATED":
            found.happens(moment, kind, f"Configuration available to {share:.2f}% of clients")
        elif kind == "BAKE_TIME_STARTED":
            found.happens(moment, kind, "Deployment bake time started")
            found.said["State"] = "BAKING"
        else:
            found.happens(moment, kind, "Deployment completed")
            found.ends(moment, "COMPLETE")
            environment.state = "READY_FOR_DEPLOYMENT"


def go_back(environment: Environment, found: Deployment, said: str, by: str) -> None:
    found.happens(now(), "ROLLBACK_STARTED", said, by)
    found.said["State"] = environment.state = "ROLLING_BACK"


def roll_back(environment: Environment, found: Deployment) -> None:
    found.happens(now(), "ROLLBACK_COMPLETED", "Rollback completed")
    found.said["PercentageComplete"] = 0.0
    found.ends(now(), "ROLLED_BACK")
    environment.state = "ROLLED_BACK"


def ringing(environment: Environment) -> str:
    """The ARN of a monitor that stops a deployment; empty if there is none.

    Nothing says that StartDeployment refuses when an alarm rings already: it starts, and goes back, as "monitors may
    prevent a roll forward from progressing during an application emergency" has it. With its actions disabled, an
    alarm does nothing. One that is not there does not ring."""
    for monitor in environment.said.get("Monitors", ()):
        _, _, _, region, account, _, name = monitor["AlarmArn"].split(":", 6)
        alarm = cloudwatch_backends[account][region].alarms.get(name)
        if alarm and alarm.state_value in TRIGGERS and alarm.actions_enabled is not False:
            return str(monitor["AlarmArn"])
    return ""


def delivered(environment: Environment, profile: str) -> Deployment | None:
    """What clients get: of a deployment that runs, from BAKING on, when it is available to all of them."""
    newest: list[Deployment] = [one for _, one in sorted(environment.deployments.items(), reverse=True)]
    for one in newest:
        if one.said["ConfigurationProfileId"] == profile and one.state in ("COMPLETE", "BAKING"):
            return one
    return None


# ---- Operations

OF_STRATEGY = ("DeploymentDurationInMinutes", "GrowthType", "GrowthFactor", "FinalBakeTimeInMinutes")
OF_SUMMARY = (
    *("DeploymentNumber", "ConfigurationName", "ConfigurationProfileId", "ConfigurationVersion", "VersionLabel"),
    *("State", "PercentageComplete", "StartedAt", "CompletedAt", *OF_STRATEGY),
)


def whole(deployment: Deployment) -> Said:
    return {**deployment.said, "EventLog": deployment.events}


@serves
def start_deployment(store: Store, asked: Asked) -> Said:
    """One at a time in an environment, whatever the profile. Source: https://github.com/aws/aws-cdk/issues/29345"""
    environment, profile = store.environment(asked), store.profile(asked)
    strategy = get_deployment_strategy(store, asked) or {}
    version = version_of(store, asked)
    free(environment, asked)
    validate(store, profile, version)
    free(environment, asked)  # a validator's function took its time
    number, started = max(environment.deployments, default=0) + 1, now()
    said = {
        **told(
            asked, "ApplicationId", "EnvironmentId", "DeploymentStrategyId", "ConfigurationProfileId", "Description"
        ),
        **told(strategy, *OF_STRATEGY),
        **told(version.said, "VersionLabel"),
        "DeploymentNumber": number,
        "ConfigurationName": profile.said["Name"],
        "ConfigurationLocationUri": profile.said["LocationUri"],
        "ConfigurationVersion": str(version.number),
        "State": "DEPLOYING",
        "PercentageComplete": 0.0,
        "StartedAt": at(started),
    }
    path = ("application", asked["ApplicationId"], "environment", asked["EnvironmentId"], "deployment", str(number))
    store.tag(store.arn(*path), asked.get("Tags", {}))
    made = Deployment(said, version.content, version.said["ContentType"], started)
    made.steps = list(steps(strategy, started))
    if (place := (store.account_id, store.region_name)) in DOOMED:
        DOOMED.remove(place)
        made.doomed = True
    made.happens(started, "DEPLOYMENT_STARTED", "Deployment started", "USER")
    environment.deployments[number] = made
    environment.state = "DEPLOYING"
    return whole(made)


def free(environment: Environment, asked: Asked) -> None:
    """Refuse while another deployment runs, or where another one has been made meanwhile."""
    if (other := running(environment)) and other.state in ("DEPLOYING", "BAKING"):
        settle(environment, other)
    if other := running(environment):
        number = other.said["DeploymentNumber"]
        raise Problem(
            "ConflictException", f"Deployment number {number} of the environment is in progress: {other.state}"
        )
    latest = max(environment.deployments, default=0)
    if asked.get("LatestDeploymentNumber", latest) != latest:
        raise Problem(
            "ConflictException",
            f"LatestDeploymentNumber is {asked['LatestDeploymentNumber']}, but the latest deployment is {latest}",
        )


@serves
def get_deployment(store: Store, asked: Asked) -> Said:
    environment = store.environment(asked)
    found: Deployment = named(environment.deployments, asked["DeploymentNumber"], "Deployment")
    look(store, environment)
    return whole(found)


@serves
def list_deployments(store: Store, asked: Asked) -> Said:
    environment = store.environment(asked)
    look(store, environment)
    newest = sorted(environment.deployments.items(), reverse=True)
    return page(({**told(one.said, *OF_SUMMARY), "Type": "USER"} for _, one in newest), asked)


@serves
def get_environment(store: Store, asked: Asked) -> Said:
    environment = store.environment(asked)
    look(store, environment)
    return shown(environment)


@serves
def delete_environment(store: Store, asked: Asked) -> None:
    environment, name = store.environment(asked), asked["EnvironmentId"]
    if running(environment):
        raise Problem("ConflictException", f"Environment {name} has a deployment in progress")
    del store.application(asked).environments[name]
    store.forget("application", asked["ApplicationId"], "environment", name)


@serves
def stop_deployment(store: Store, asked: Asked) -> Said:
    """In progress it is rolled back, complete it is reverted; not while another one runs, of which AWS tells nothing.

    Source: https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-deploying-reverting.html"""
    environment = store.environment(asked)
    found: Deployment = named(environment.deployments, asked["DeploymentNumber"], "Deployment")
    revert, number = asked.get("AllowRevert", False), asked["DeploymentNumber"]
    if found.state in ("DEPLOYING", "BAKING"):
        settle(environment, found)
    if found.state == "DEPLOYING" or (found.state == "BAKING" and revert):
        go_back(environment, found, f"Rollback initiated by {store.account_id}", "USER")
        return whole(found)
    if found.state != "COMPLETE" or not revert:
        more = "" if revert else " without AllowRevert"
        raise Problem("BadRequestException", f"Deployment number {number} is {found.state}: it cannot be stopped{more}")
    completed = found.events[0]["OccurredAt"]
    if at(now() - REVERTABLE) > completed:
        raise Problem(
            "BadRequestException", f"Deployment number {number} was completed at {completed}: over 72 hours ago"
        )
    if other := running(environment):
        said = f"Deployment number {other.said['DeploymentNumber']} of the environment is in progress"
        raise Problem("BadRequestException", said)
    found.happens(now(), "REVERT_COMPLETED", "Revert completed", "USER")
    found.said["State"] = environment.state = "REVERTED"
    return whole(found)


# ---- Somebody at the console


def console_deploys(
    account: str,
    region: str,
    environment_name: str,
    profile: str,
    change: dict[str, Any],
    complete: bool,
    application_name: str = "",
) -> int:
    """Somebody changes a profile's document and deploys it, past the pipeline: the deployment's number.

    Args:
        environment_name: of AppConfig's environment; `profile` is the profile's name.
        change: is merged into the JSON that the environment delivers, or into the newest version if it delivers none.
        complete: the deployment is complete already; otherwise it goes on for an hour of the rehearsal's clock.
        application_name: of AppConfig's application; empty for the first that has both.
    Raises:
        KeyError: there is no such environment or profile.
        Problem: AppConfig refuses it."""
    with FRONT["cloud"].lock if FRONT else nullcontext():
        store: Store = STORES[account][region]
        for application in store.applications.values():
            environments = {one.said["Name"]: one for one in application.environments.values()}
            profiles = {one.said["Name"]: one for one in application.profiles.values()}
            named_so = application_name in ("", application.said["Name"])
            if named_so and environment_name in environments and profile in profiles:
                break
        else:
            raise KeyError(f"{environment_name} with {profile} is not in AppConfig of {account} in {region}")
        environment, edited = environments[environment_name], profiles[profile]
        at_work = delivered(environment, edited.said["Id"])
        newest = edited.versions[max(edited.versions)]
        document = merged(json.loads(at_work.content if at_work else newest.content), change)
        asked = {"ApplicationId": application.said["Id"], "ConfigurationProfileId": edited.said["Id"]}
        content = {"Content": json.dumps(document).encode(), "ContentType": newest.said["ContentType"]}
        version = create_hosted_configuration_version(store, {**asked, **content}) or {}
        strategy = "AppConfig.AllAtOnce" if complete else "AppConfig.Linear20PercentEvery6Minutes"
        asked |= {"EnvironmentId": environment.said["Id"], "DeploymentStrategyId": strategy}
        asked |= {"ConfigurationVersion": str(version["VersionNumber"]), "Description": "by hand, in the console"}
        number = (start_deployment(store, asked) or {})["DeploymentNumber"]
        made: Deployment = environment.deployments[number]
        made.looks = False
        if complete:
            made.steps = [(made.started, kind, share) for _, kind, share in made.steps]
            settle(environment, made)
        return int(number)


def merged(document: Any, change: Any) -> Any:
    """Mappings are merged; anything else takes the place of what was there."""
    if not (isinstance(document, dict) and isinstance(change, dict)):
        return change
    return {**document, **{key: merged(document.get(key), value) for key, value in change.items()}}
