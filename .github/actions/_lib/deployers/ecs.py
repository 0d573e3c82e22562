# deploys: software
# pipelines: application
# template: infrastructure/task-definition.json
# changes: ecs:UpdateService
"""Amazon ECS: a new revision of the task definition, which the service's own deployment brings up and rolls back."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import aws
import deployment
import runner
from deployment import Change, Done, Target, polls

UNDER_WAY = ["PENDING", "IN_PROGRESS", "STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"]
STRATEGIES = {"rolling": "ROLLING", "blue-green": "BLUE_GREEN", "canary": "CANARY", "linear": "LINEAR"}
# What a described task definition has that cannot be registered.
READ_ONLY = (
    "taskDefinitionArn revision status requiresAttributes compatibilities registeredAt registeredBy deregisteredAt"
).split()


def deploy(target: Target, change: Change) -> Done:
    """Register the release's task definition, and let ECS deploy it."""
    service = describe(target)
    if busy := under_way(target):
        raise runner.Failed(
            f"a deployment of {service['serviceName']} is in progress: wait for its end and run again, or end it:"
            f" aws ecs stop-service-deployment --stop-type ROLLBACK --service-deployment-arn {busy[0]}",
            "error",
        )
    wanted = definition(target, change)
    now = aws.call(target.region, "ecs", "describe-task-definition", taskDefinition=service["taskDefinition"])
    configuration = deployment_configuration(target, change, service.get("deploymentConfiguration", {}))
    rows = list(differences(now["taskDefinition"], wanted))
    rows.append(
        (
            "strategy",
            str(service.get("deploymentConfiguration", {}).get("strategy", "ROLLING")),
            configuration["strategy"],
        )
    )
    deployment.show(service["serviceName"], ("what", "now", "then"), rows)
    started, known = deployment.timestamp(), set(deployments(target))
    change.before()
    tags = {"dpra:component": target.component, "dpra:commit": change.commit, "dpra:digest": change.digest}
    tagged = [{"key": name, "value": value} for name, value in tags.items()]
    made = aws.call(target.region, "ecs", "register-task-definition", **{**wanted, "tags": tagged})["taskDefinition"]
    aws.call(
        *(target.region, "ecs", "update-service"),
        **place(target),
        taskDefinition=made["taskDefinitionArn"],
        deploymentConfiguration=configuration,
    )
    arn = wait(target, known)
    outputs = {"TaskDefinition": made["taskDefinitionArn"], "Service": service["serviceArn"]}
    return Done(arn, started, outputs | ({"Url": url} if (url := target.text("url")) else {}))


def settled(target: Target) -> None:
    """ECS ends a deployment by itself, also that of a lost runner."""
    for _ in polls():
        if not under_way(target):
            return


def running(target: Target) -> str:
    asked = {"taskDefinition": describe(target)["taskDefinition"], "include": ["TAGS"]}
    answer = aws.call(target.region, "ecs", "describe-task-definition", **asked)
    return next((tag["value"] for tag in answer.get("tags", []) if tag["key"] == "dpra:digest"), "")


def place(target: Target) -> dict[str, str]:
    return {"cluster": target.text("cluster"), "service": target.text("service")}


def describe(target: Target) -> dict[str, Any]:
    where = place(target)
    answer = aws.call(target.region, "ecs", "describe-services", cluster=where["cluster"], services=[where["service"]])
    for service in answer.get("services", []):
        if service["status"] == "ACTIVE":
            return dict(service)
    raise runner.Failed(
        f"the cluster {where['cluster']} has no service {where['service']}: create it first, by infrastructure code; "
        "this tool deploys to an existing one",
        "error",
    )


def deployments(target: Target, *status: str) -> list[str]:
    """The ARNs of the service's deployments, the latest first."""
    asked = {**place(target), **({"status": list(status)} if status else {})}
    found = aws.call(target.region, "ecs", "list-service-deployments", "--no-paginate", **asked)
    return [one["serviceDeploymentArn"] for one in found.get("serviceDeployments", [])]


def under_way(target: Target) -> list[str]:
    return deployments(target, *UNDER_WAY)


def definition(target: Target, change: Change) -> dict[str, Any]:
    """What to register: the release's task definition, with the image by its digest."""
    try:
        wanted = json.loads((change.release / "template.yml").read_bytes())
        containers = wanted["containerDefinitions"]
        names = [container["name"] for container in containers]
    except (ValueError, LookupError, TypeError) as problem:
        raise runner.Failed("the release's task definition is not JSON with containerDefinitions") from problem
    name = target.text("container")
    if not name and len(names) > 1:
        raise runner.Failed(
            f"the task definition has several containers: set deploy.ecs.container to one of {', '.join(names)}"
        )
    if name and name not in names:
        raise runner.Failed(
            f"the task definition has no container {name}: set deploy.ecs.container to one of {', '.join(names)}"
        )
    if not change.image:
        raise runner.Failed("the release has no container image: set language: container")
    for container in containers:
        if container["name"] == (name or names[0]):
            container["image"] = change.image
    found: dict[str, Any] = fill(target, {key: value for key, value in wanted.items() if key not in READ_ONLY})
    return found


def fill(target: Target, value: Any) -> Any:
    """The value with {environment}, {account} and {region} filled in."""
    if isinstance(value, str):
        return target.filled(value)
    if isinstance(value, dict):
        return {name: fill(target, inner) for name, inner in value.items()}
    return [fill(target, inner) for inner in value] if isinstance(value, list) else value


def deployment_configuration(target: Target, change: Change, now: Mapping[str, Any]) -> dict[str, Any]:
    """How ECS deploys: what the service has already, with the strategy, the alarms and the circuit breaker of ours."""
    settings: Mapping[str, Any] = target.settings
    alarms = deployment.alarm_names(change)
    strategy = STRATEGIES[settings.get("strategy") or "rolling"]
    if change.at_once and strategy != "ROLLING":
        strategy, settings = "BLUE_GREEN", {"bake": 0}
    ours = ("linearConfiguration", "canaryConfiguration", "bakeTimeInMinutes")
    made: dict[str, Any] = {name: value for name, value in now.items() if name not in ours}
    # A rollback has no alarms: the one that fires would undo it.
    made |= {"strategy": strategy, "alarms": {"alarmNames": alarms, "enable": bool(alarms), "rollback": bool(alarms)}}
    made["deploymentCircuitBreaker"] = {**made.get("deploymentCircuitBreaker", {}), "enable": True, "rollback": True}
    if strategy != "ROLLING":
        made["bakeTimeInMinutes"] = settings.get("bake", 5)
    percent, pause = settings.get("percent", 10), settings.get("pause", 5)
    if strategy == "CANARY":
        made["canaryConfiguration"] = {"canaryPercent": percent, "canaryBakeTimeInMinutes": pause}
    if strategy == "LINEAR":
        made["linearConfiguration"] = {"stepPercent": percent, "stepBakeTimeInMinutes": pause}
    return made


def differences(now: Mapping[str, Any], then: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str, str]]:
    """Where two task definitions differ: only what the new one says, ECS adds its defaults to the old one."""
    for name, value in then.items():
        old, here = now.get(name), f"{path}{name}"
        if name == "containerDefinitions":
            others = {container["name"]: container for container in old or ()}
            for container in value:
                yield from differences(others.get(container["name"], {}), container, f"{container['name']}.")
        elif old != value:
            yield here, json.dumps(old) if old is not None else "-", json.dumps(value)


def wait(target: Target, known: set[str]) -> str:
    """Wait for the deployment that began just now.

    Raises:
        runner.Failed: ECS took it back, or somebody stopped it.
    """
    arn, shown = "", ""
    for _ in polls():
        arn = arn or next((one for one in deployments(target) if one not in known), "")
        if not arn:
            continue
        [now] = aws.call(target.region, "ecs", "describe-service-deployments", serviceDeploymentArns=[arn])[
            "serviceDeployments"
        ]
        line = "  ".join(filter(None, (now["status"], now.get("lifecycleStage", ""), now.get("statusReason", ""))))
        if line != shown:
            runner.say(line)
            shown = line
        if now["status"] == "SUCCESSFUL":
            return arn
        if now["status"] not in UNDER_WAY:
            raise runner.Failed(failure(target, now))
    raise AssertionError("polls has no end")


def failure(target: Target, ended: Mapping[str, Any]) -> str:
    """Why a deployment did not succeed, and what is left to do."""
    problem = f"the deployment of {target.text('service')} is {ended['status']}"
    if alarms := ended.get("alarms", {}).get("triggeredAlarmNames"):
        problem += f": in ALARM during it: {', '.join(alarms)}"
    elif ended.get("deploymentCircuitBreaker", {}).get("status") == "TRIGGERED":
        problem += ": the circuit breaker found tasks that do not start or are not healthy"
    if reason := ended.get("statusReason"):
        problem += f" ({reason})"
    if ended["status"] == "ROLLBACK_FAILED":
        problem += ". Repair what the service's events name, then roll back by hand"
    if ended["status"] == "STOPPED":
        problem += ". Somebody stopped it: run again, or roll back by hand"
    return problem
