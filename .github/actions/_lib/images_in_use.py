"""Which images an account uses in a region, and by what: what nobody may delete.

It asks every service that could use one, page by page. What it may not read, or cannot, is not known, and that is an
error and never a "no". It does not see what runs images outside these services (Kubernetes, Docker on an instance,
AWS App Runner, other accounts): ECR's own record of the last pull tells of those.

Source: the operations' own reference, https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html,
https://docs.aws.amazon.com/lambda/latest/api/API_FunctionCodeLocation.html and
https://docs.aws.amazon.com/autoscaling/ec2/userguide/using-systems-manager-parameters.html (`resolve:ssm:`).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import aws
import runner

AT_ONCE = 8  # calls of the AWS CLI, each of which takes most of a second to start
KEYS = ("image", "Image", "ImageId", "ImageUri", "ResolvedImageUri")  # under which services say an image
ALIVE = ("pending", "running", "shutting-down", "stopping", "stopped")  # instances that are not terminated
BY_PARAMETER = "resolve:ssm:"  # a launch template that takes its image from a parameter


@dataclass(frozen=True)
class Use:
    """One image that something uses.

    image: as it is said there, REPOSITORY@DIGEST, REPOSITORY:TAG or the id of an AMI; anybody may have written it.
    kind: what uses it, such as `ECS task`; for people.
    by: which one, its ARN; its id where AWS gives no ARN.
    """

    image: str
    kind: str
    by: str


Fixed = dict[str, list[Use]]  # what never changes, such as a revision -> its uses; a second look asks for no more


class NotKnownError(runner.Failed):
    """What uses images could not be read: nobody can say that one is not in use."""


def container_images_in_use(region: str, fixed: Fixed | None = None) -> list[Use]:
    """What Amazon ECS, AWS Lambda, AWS Batch, Amazon SageMaker AI and AWS CodeBuild use of container images.

    Args:
        fixed: what an earlier look found that cannot change; this one adds to it.

    Raises:
        NotKnownError: one of them does not answer, or may not be asked.
    """
    known = {} if fixed is None else fixed
    services = {
        "Amazon ECS": lambda: _ecs(region, known),
        "AWS Lambda": lambda: _functions(region, known),
        "AWS Batch": lambda: _job_definitions(region),
        "Amazon SageMaker AI": lambda: _models(region),
        "AWS CodeBuild": lambda: _projects(region),
    }
    return _every(region, services)


def machine_images_in_use(region: str) -> list[Use]:
    """What Amazon EC2, its Auto Scaling, the account's own AMIs and parameters for AMIs use of machine images.

    A parameter counts whoever made it: its ARN tells the caller which of them are its own.

    Raises:
        NotKnownError: one of them does not answer, or may not be asked.
    """
    services = {
        "launch templates": lambda: _launch_templates(region),
        "launch configurations": lambda: _launch_configurations(region),
        "Auto Scaling groups": lambda: _groups(region),
        "instances": lambda: _instances(region),
        "AMIs": lambda: _copies(region),
        "parameters": lambda: _parameters(region),
    }
    return _every(region, services)


def _every(region: str, services: Mapping[str, Callable[[], Iterable[Use]]]) -> list[Use]:
    """The uses of all services, asked at the same time; if some cannot be known, all of those are named."""
    found: list[Use] = []
    unknown: list[str] = []
    with ThreadPoolExecutor(len(services)) as pool:
        asked = {name: pool.submit(lambda look=look: list(look())) for name, look in services.items()}  # type: ignore[misc]
        for name, answer in asked.items():
            try:
                found += answer.result()
            except (runner.Failed, LookupError, TypeError, ValueError) as problem:
                runner.warning(f"{name} in {region}: {problem or type(problem).__name__}", title="not known")
                unknown.append(name)
    if unknown:
        raise NotKnownError(f"what uses images in {region} is not known, of {', '.join(unknown)}", "error")
    return found


def _all(look: Callable[[Any], Iterable[Use]], over: Iterable[Any]) -> Iterator[Use]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for uses in pool.map(lambda one: list(look(one)), over):
            yield from uses


def said(value: Any) -> Iterator[str]:
    """Every image that an answer of AWS names, however deep."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in KEYS and isinstance(inner, str):
                yield inner
            else:
                yield from said(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from said(inner)


def repository(image: str) -> str:
    """The address without tag and digest; the colon of a registry's port is none of a tag."""
    return re.sub(r":[^/:]*$", "", image.partition("@")[0])


def _uses(value: Any, kind: str, arn: str) -> list[Use]:
    return [Use(image, kind, arn) for image in dict.fromkeys(said(value))]


def _parts(names: Sequence[str], size: int) -> Iterator[list[str]]:
    """As many as one call takes."""
    return (list(names[at : at + size]) for at in range(0, len(names), size))


# ---- Containers


def _ecs(region: str, fixed: Fixed) -> Iterator[Use]:
    """Running tasks, and the task definitions that may start others: all active ones, and those of services."""
    wanted: dict[str, list[tuple[str, str]]] = {}  # task definition -> what uses it: kind, ARN
    with ThreadPoolExecutor(AT_ONCE) as pool:
        clusters = aws.call(region, "ecs", "list-clusters").get("clusterArns", [])
        for uses, holders in pool.map(lambda cluster: _cluster(region, cluster), clusters):
            yield from uses
            for definition, kind, arn in holders:
                wanted.setdefault(definition, []).append((kind, arn))
    for arn in aws.call(region, "ecs", "list-task-definitions", status="ACTIVE").get("taskDefinitionArns", []):
        wanted.setdefault(arn, []).append(("ECS task definition", arn))

    def described(arn: str) -> Iterator[Use]:
        if arn not in fixed:  # a revision never changes
            answer = aws.call(region, "ecs", "describe-task-definition", taskDefinition=arn)
            fixed[arn] = _uses(answer["taskDefinition"]["containerDefinitions"], "ECS task definition", arn)
        return (Use(one.image, *by) for by in wanted[arn] for one in fixed[arn])

    yield from _all(described, wanted)


def _cluster(region: str, cluster: str) -> tuple[list[Use], list[tuple[str, str, str]]]:
    """What its tasks run, and what its services and tasks have of task definitions: definition, kind, ARN."""
    uses: list[Use] = []
    holders: list[tuple[str, str, str]] = []
    for some in _parts(aws.call(region, "ecs", "list-services", cluster=cluster).get("serviceArns", []), 10):
        answer = aws.call(region, "ecs", "describe-services", cluster=cluster, services=some)
        for service in _there(answer, "services"):
            # While one is deployed there are two; with another deployment controller each is a task set.
            for one in (service, *service.get("deployments", ()), *service.get("taskSets", ())):
                if one.get("taskDefinition"):
                    holders.append((one["taskDefinition"], "ECS service", service["serviceArn"]))
    for some in _parts(aws.call(region, "ecs", "list-tasks", cluster=cluster).get("taskArns", []), 100):
        for task in _there(aws.call(region, "ecs", "describe-tasks", cluster=cluster, tasks=some), "tasks"):
            holders.append((task["taskDefinitionArn"], "ECS task", task["taskArn"]))
            for container in task.get("containers", ()):
                uses += _uses(container, "ECS task", task["taskArn"])
                if container.get("image") and container.get("imageDigest"):
                    resolved = f"{repository(container['image'])}@{container['imageDigest']}"
                    uses.append(Use(resolved, "ECS task", task["taskArn"]))
    return uses, holders


def _there(answer: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """What ECS describes; what was removed meanwhile is missing, and nothing else may be."""
    if strange := [one for one in answer.get("failures", ()) if one.get("reason") != "MISSING"]:
        raise runner.Failed(
            f"Amazon ECS does not describe {strange[0].get('arn')}: {strange[0].get('reason')}", "error"
        )
    return list(answer[key])


def _functions(region: str, fixed: Fixed) -> Iterator[Use]:
    """Every version of every function, published or not: an alias is a name for one or two of them."""
    functions = aws.call(region, "lambda", "list-functions", FunctionVersion="ALL")["Functions"]

    def described(function: dict[str, Any]) -> list[Use]:
        arn = function["FunctionArn"]
        if arn in fixed:
            return fixed[arn]
        about = {"FunctionName": function["FunctionName"], "Qualifier": function["Version"]}
        uses = _uses(aws.call(region, "lambda", "get-function", **about)["Code"], "Lambda function", arn)
        if not uses:
            raise runner.Failed(f"{arn} is of an image, and AWS Lambda does not say which", "error")
        if function["Version"] != "$LATEST":
            fixed[arn] = uses
        return uses

    yield from _all(described, [one for one in functions if one.get("PackageType") == "Image"])


def _job_definitions(region: str) -> Iterator[Use]:
    for one in aws.call(region, "batch", "describe-job-definitions", status="ACTIVE")["jobDefinitions"]:
        yield from _uses(one, "AWS Batch job definition", one["jobDefinitionArn"])


def _models(region: str) -> Iterator[Use]:
    def described(model: dict[str, Any]) -> list[Use]:
        answer = aws.call(region, "sagemaker", "describe-model", ModelName=model["ModelName"])
        return _uses(answer, "SageMaker model", model["ModelArn"])

    yield from _all(described, aws.call(region, "sagemaker", "list-models")["Models"])


def _projects(region: str) -> Iterator[Use]:
    for some in _parts(aws.call(region, "codebuild", "list-projects").get("projects", []), 100):
        for project in aws.call(region, "codebuild", "batch-get-projects", names=some)["projects"]:
            yield from _uses(project["environment"], "CodeBuild project", project["arn"])


# ---- Machines


def _launch_templates(region: str) -> Iterator[Use]:
    """Every version: an Auto Scaling group may name any of them."""

    def described(template: dict[str, Any]) -> Iterator[Use]:
        about = {"LaunchTemplateId": template["LaunchTemplateId"]}
        for version in aws.call(region, "ec2", "describe-launch-template-versions", **about)["LaunchTemplateVersions"]:
            for image in said(version["LaunchTemplateData"]):
                kind = f"launch template, version {version['VersionNumber']}"
                yield Use(_resolved(region, image), kind, template["LaunchTemplateId"])

    yield from _all(described, aws.call(region, "ec2", "describe-launch-templates")["LaunchTemplates"])


def _launch_configurations(region: str) -> Iterator[Use]:
    for one in aws.call(region, "autoscaling", "describe-launch-configurations")["LaunchConfigurations"]:
        yield Use(one["ImageId"], "launch configuration", one["LaunchConfigurationARN"])


def _groups(region: str) -> Iterator[Use]:
    """Groups whose overrides name an image themselves; all others have it of their launch template or configuration."""
    for group in aws.call(region, "autoscaling", "describe-auto-scaling-groups")["AutoScalingGroups"]:
        for image in said(group.get("MixedInstancesPolicy")):
            yield Use(_resolved(region, image), "Auto Scaling group", group["AutoScalingGroupARN"])


def _instances(region: str) -> Iterator[Use]:
    alive = [{"Name": "instance-state-name", "Values": [*ALIVE]}]
    for reservation in aws.call(region, "ec2", "describe-instances", Filters=alive)["Reservations"]:
        for one in reservation["Instances"]:
            yield Use(one["ImageId"], f"instance, {one['State']['Name']}", one["InstanceId"])


def _copies(region: str) -> Iterator[Use]:
    """The account's AMIs that were made from another one."""
    for one in aws.call(region, "ec2", "describe-images", Owners=["self"])["Images"]:
        if source := one.get("SourceImageId"):
            yield Use(source, "AMI made from it", one["ImageId"])


def _parameters(region: str) -> Iterator[Use]:
    """Parameters of the type for AMIs; what a parameter of plain text is for, nobody knows."""
    found = aws.call(region, "ssm", "describe-parameters")["Parameters"]
    for some in _parts([one["Name"] for one in found if one.get("DataType") == "aws:ec2:image"], 10):
        for one in aws.call(region, "ssm", "get-parameters", Names=some)["Parameters"]:
            yield Use(one["Value"], "parameter", one["ARN"])


def _resolved(region: str, image: str) -> str:
    """The id of an AMI that a parameter gives; one that gives none starts nothing."""
    if not image.startswith(BY_PARAMETER):
        return image
    try:
        answer = aws.call(region, "ssm", "get-parameter", Name=image.removeprefix(BY_PARAMETER))
    except aws.Refused as refused:
        if refused.code in ("ParameterNotFound", "ParameterVersionNotFound"):
            return image
        raise
    return str(answer["Parameter"]["Value"])
