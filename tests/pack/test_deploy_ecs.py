"""ECS brings a release there and back. moto has no service deployments: AWS answers from a list, and each request and
answer is held against botocore's model of the service."""

import json
from typing import Any

import pytest

from .conftest import ACCOUNT, ONE, REGION, TWO, Bench, failed, stop

IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/dpra-shop@sha256:"
SERVICE = f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/shop/shop-gamma"
TASK = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/shop:"
DEPLOYMENT = f"arn:aws:ecs:{REGION}:{ACCOUNT}:service-deployment/shop/shop-gamma/"
DEFINITION = {
    "family": "shop-{environment}",
    "executionRoleArn": "arn:aws:iam::{account}:role/shop-{environment}",
    "containerDefinitions": [{"name": "web", "image": "the release's", "memory": 512}],
    "revision": 7,  # as `describe-task-definition` prints it
}


@pytest.fixture
def ecs(bench: Bench, aws: Any) -> Any:
    """Answers of ECS for a service that runs a task definition; what the tool asked for."""
    answers = Ecs(aws)
    answers.runs(1, digest="")
    aws.will("ecs update-service", {"service": {"serviceArn": SERVICE}})
    bench.use("ecs", cluster="shop", service="shop-{environment}", url="https://{environment}.shop.example")
    return answers


class Ecs:
    def __init__(self, aws: Any) -> None:
        self.aws, self.count = aws, 0
        aws.will("ecs list-service-deployments", {"serviceDeployments": []})

    def runs(self, revision: int, digest: str, **configuration: Any) -> None:
        service = {
            "serviceName": "shop-gamma",
            "serviceArn": SERVICE,
            "status": "ACTIVE",
            "taskDefinition": f"{TASK}{revision}",
        }
        service["deploymentConfiguration"] = configuration  # type: ignore[assignment]
        self.aws.will("ecs describe-services", {"services": [service]})
        container = {"name": "web", "image": f"{IMAGE}{revision}", "memory": 512, "cpu": 0}
        tags = [{"key": "dpra:digest", "value": digest}] if digest else []
        defined = {
            "family": "shop-gamma",
            "taskDefinitionArn": f"{TASK}{revision}",
            "containerDefinitions": [container],
        }
        self.aws.will("ecs describe-task-definition", {"taskDefinition": defined, "tags": tags})
        self.aws.will(
            "ecs register-task-definition", {"taskDefinition": {"taskDefinitionArn": f"{TASK}{revision + 1}"}}
        )

    def ends(self, *endings: dict[str, Any]) -> None:
        """The next deployment goes through these; without any it succeeds."""
        self.count += 1
        arn = f"{DEPLOYMENT}{self.count}"
        new = {"serviceDeployments": [{"serviceDeploymentArn": arn}]}
        quiet: dict[str, Any] = {"serviceDeployments": []}
        self.aws.will("ecs list-service-deployments", quiet, quiet, quiet, new)  # under way, known, not yet, there
        states = endings or ({"status": "IN_PROGRESS", "lifecycleStage": "SCALE_UP"}, {"status": "SUCCESSFUL"})
        self.aws.will(
            "ecs describe-service-deployments",
            *({"serviceDeployments": [{"serviceDeploymentArn": arn, **state}]} for state in states),
        )

    @property
    def updated(self) -> Any:
        return self.aws.calls("ecs update-service")[-1][1]

    @property
    def registered(self) -> Any:
        return self.aws.calls("ecs register-task-definition")[-1][1]

    @property
    def changed(self) -> list[str]:
        return [call for call, _ in self.aws.calls() if call.split()[1].startswith(("register", "update"))]


def tasks(bench: Bench, commit: str) -> str:
    return bench.release(commit, {"image.tar": ""}, json.dumps(DEFINITION), f"{IMAGE}{commit}")


def test_ecs_there_and_back(bench: Bench, ecs: Ecs, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = tasks(bench, ONE), tasks(bench, TWO)
    assert bench.running == ""
    ecs.ends()
    done = bench.deploy(one)
    assert ecs.registered == {
        "family": "shop-gamma",
        "executionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/shop-gamma",
        "containerDefinitions": [{"name": "web", "image": f"{IMAGE}{ONE}", "memory": 512}],
        "tags": [
            {"key": "dpra:component", "value": "shop"},
            {"key": "dpra:commit", "value": ONE},
            {"key": "dpra:digest", "value": one},
        ],
    }
    assert ecs.updated == {
        "cluster": "shop",
        "service": "shop-gamma",
        "taskDefinition": f"{TASK}2",
        "deploymentConfiguration": {
            "strategy": "ROLLING",
            "alarms": {"alarmNames": [], "enable": False, "rollback": False},
            "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        },
    }
    assert done.change == f"{DEPLOYMENT}1"
    assert done.outputs["Url"] == "https://gamma.shop.example"
    said = bench.says(capsys)
    assert f'web.image "{IMAGE}1" "{IMAGE}{ONE}"' in said
    assert said.index("web.image") < said.index("IN_PROGRESS SCALE_UP") < said.index("SUCCESSFUL")
    ecs.runs(2, one)
    assert bench.running == one
    ecs.ends()
    bench.deploy(two, TWO)
    assert ecs.registered["containerDefinitions"][0]["image"] == f"{IMAGE}{TWO}"
    ecs.runs(3, two)
    ecs.ends()
    ecs.aws.answers["ecs list-service-deployments"].insert(0, {"serviceDeployments": []})  # settled looks first
    ecs.aws.will("ecs list-service-deployments", *ecs.aws.answers["ecs list-service-deployments"])
    bench.back(one)
    assert ecs.registered["containerDefinitions"][0]["image"] == f"{IMAGE}{ONE}"
    assert ecs.registered["tags"][2] == {"key": "dpra:digest", "value": one}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"strategy": "blue-green", "bake": 10}, {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 10}),
        (
            {"strategy": "canary", "percent": 5, "pause": 3},
            {
                "strategy": "CANARY",
                "bakeTimeInMinutes": 5,
                "canaryConfiguration": {"canaryPercent": 5, "canaryBakeTimeInMinutes": 3},
            },
        ),
        (
            {"strategy": "linear", "percent": 20, "bake": 0},
            {
                "strategy": "LINEAR",
                "bakeTimeInMinutes": 0,
                "linearConfiguration": {"stepPercent": 20, "stepBakeTimeInMinutes": 5},
            },
        ),
    ],
)
def test_ecs_shifts_traffic_itself_and_watches_alarms(
    bench: Bench, ecs: Ecs, settings: dict[str, Any], expected: dict[str, Any]
) -> None:
    bench.use("ecs", cluster="shop", service="shop-gamma", **settings)
    ecs.runs(1, "", maximumPercent=150, strategy="LINEAR", linearConfiguration={"stepPercent": 50})
    ecs.ends()
    bench.deploy(tasks(bench, ONE), triggers=[f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:errors"])
    assert ecs.updated["deploymentConfiguration"] == {
        "maximumPercent": 150,  # as the infrastructure has it
        "alarms": {"alarmNames": ["errors"], "enable": True, "rollback": True},
        "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        **expected,
    }


def test_ecs_a_rollback_waits_for_no_step(bench: Bench, ecs: Ecs) -> None:
    bench.use("ecs", cluster="shop", service="shop-gamma", strategy="linear", bake=30)
    ecs.ends()
    bench.deploy(tasks(bench, ONE), at_once=True)
    made = ecs.updated["deploymentConfiguration"]
    assert (made["strategy"], made["bakeTimeInMinutes"], made["alarms"]["enable"]) == ("BLUE_GREEN", 0, False)
    assert "linearConfiguration" not in made


@pytest.mark.parametrize(
    ("ending", "says"),
    [
        (
            {"status": "ROLLBACK_SUCCESSFUL", "alarms": {"status": "TRIGGERED", "triggeredAlarmNames": ["errors"]}},
            "is ROLLBACK_SUCCESSFUL: in ALARM during it: errors",
        ),
        (
            {
                "status": "ROLLBACK_SUCCESSFUL",
                "statusReason": "ECS deployment circuit breaker was triggered",
                "deploymentCircuitBreaker": {"status": "TRIGGERED", "failureCount": 3, "threshold": 3},
            },
            r"the circuit breaker found tasks that do not start.*\(ECS deployment circuit breaker was triggered\)",
        ),
        ({"status": "ROLLBACK_FAILED"}, "is ROLLBACK_FAILED. Repair what the service's events name"),
        ({"status": "STOPPED"}, "is STOPPED. Somebody stopped it: run again, or roll back by hand"),
    ],
    ids=["alarm", "circuit breaker", "rollback failed", "stopped"],
)
def test_ecs_a_deployment_that_is_taken_back_fails(bench: Bench, ecs: Ecs, ending: dict[str, Any], says: str) -> None:
    ecs.ends({"status": "IN_PROGRESS"}, {"status": "ROLLBACK_IN_PROGRESS"}, ending)
    with failed(says):
        bench.deploy(tasks(bench, ONE))


def test_ecs_a_deployment_in_progress_is_left_alone_and_a_rollback_waits(bench: Bench, ecs: Ecs) -> None:
    one = tasks(bench, ONE)
    other = {"serviceDeployments": [{"serviceDeploymentArn": f"{DEPLOYMENT}other"}]}
    ecs.aws.will("ecs list-service-deployments", other)
    with failed(f"is in progress.*aws ecs stop-service-deployment --stop-type ROLLBACK .* {DEPLOYMENT}other"):
        bench.deploy(one)
    assert ecs.changed == []
    ecs.aws.will("ecs list-service-deployments", other, other, {"serviceDeployments": []})
    bench.tool.settled(bench.target)
    assert [what for what in bench.happened if what.startswith("slept")] == ["slept 1", "slept 2"]


def test_ecs_changes_nothing_before_it_may(bench: Bench, ecs: Ecs) -> None:
    ecs.ends()
    with failed("the record cannot be written"):
        bench.deploy(tasks(bench, ONE), before=stop)
    two = [{"name": "web"}, {"name": "log"}]
    for settings, template, image, says in (
        (
            {},
            {"containerDefinitions": two},
            True,
            "has several containers: set deploy.ecs.container to one of web, log",
        ),
        ({"container": "app"}, {"containerDefinitions": two}, True, "has no container app: set .* to one of web, log"),
        ({}, {"family": "x"}, True, "is not JSON with containerDefinitions"),
        ({}, DEFINITION, False, "the release has no container image"),
    ):
        bench.use("ecs", cluster="shop", service="shop-gamma", **settings)
        ecs.ends()
        with failed(says):
            bench.deploy(bench.release(TWO, {"a": says}, json.dumps(template), IMAGE if image else ""))
    ecs.aws.will("ecs describe-services", {"services": []})
    with failed("the cluster shop has no service shop-gamma: create it first"):
        bench.deploy(tasks(bench, TWO))
    assert ecs.changed == []
