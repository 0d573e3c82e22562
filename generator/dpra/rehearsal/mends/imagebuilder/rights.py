"""Which permissions a request to EC2 Image Builder needs: actions, resources, and the values of their condition keys.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2imagebuilder.html, as cfn-lint
has it"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from moto.iam.models import iam_backends

from dpra.names import arn, partition

from ..protocol import Asked, Problem
from . import sources
from .api import read
from .store import STORES, Store, slug, versions

# What a request names of others, which it must be allowed to get: the parameter -> the action.
DEPENDS = {
    "imageRecipeArn": "GetImageRecipe",
    "infrastructureConfigurationArn": "GetInfrastructureConfiguration",
    "distributionConfigurationArn": "GetDistributionConfiguration",
}
# The parameter that names the resource of an operation.
NAMING = (
    *("imageBuildVersionArn", "imageVersionArn", "componentBuildVersionArn", "componentVersionArn", "imageRecipeArn"),
    *("infrastructureConfigurationArn", "distributionConfigurationArn", "resourceArn", "lifecyclePolicyArn"),
)
INSPECTOR = "inspector2:ListFindings"  # without it Image Builder refuses who asks for Inspector's findings
Context = dict[str, str | list[str]]


def asked(region: str, account: str, environ: Mapping[str, Any]) -> Iterator[tuple[str, str, Context]]:
    """Action, resource, and the tags of the resource and of the request."""
    store: Store = STORES[account][region]
    try:
        request = read(environ)
    except Problem:  # which Image Builder tells those only who may ask
        request = None
    if request is None:
        yield "imagebuilder:Unknown", "*", {}
        return
    name, said = request.operation.name, request.asked
    tags = said["tags"] if isinstance(said.get("tags"), dict) else {}
    context: Context = {f"aws:RequestTag/{key}": str(value) for key, value in tags.items()}
    if keys := [*tags, *said.get("tagKeys", ())]:
        context["aws:TagKeys"] = keys
    target = target_of(store, name, said)
    yield f"imagebuilder:{name}", target, {**context, **tags_of(store, target)}
    if tags and name != "TagResource":
        yield "imagebuilder:TagResource", target, context
    if name == "ListImageScanFindings":
        yield INSPECTOR, "*", {}
    for action, other in needed(name, said):
        yield f"imagebuilder:{action}", other, tags_of(store, other)
    yield from passed(store, name, said)


def tags_of(store: Store, target: str) -> Context:
    return {f"aws:ResourceTag/{key}": value for key, value in store.tags.get(target, {}).items()}


def target_of(store: Store, name: str, said: Asked) -> str:
    """The ARN of the resource that a request is about, of one to be made as it will be; `*` where it is about none."""
    if name in ("CreateImage", "DistributeImage"):
        return image(store, name, said)
    if name == "GetLifecycleExecution":
        return store.arn("lifecycle-execution", str(said.get("lifecycleExecutionId", "*")))
    if name == "GetWorkflowExecution":
        return store.arn("workflow-execution", str(said.get("workflowExecutionId", "*")))
    if name.startswith("Create"):
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name.removeprefix("Create")).lower()
        base, number = store.arn(kind, slug(str(said.get("name", "*")))), said.get("semanticVersion")
        if kind == "component":
            return versions(base, str(number), store.components)
        return f"{base}/{number}" if number else base
    if name == "ListComponentBuildVersions":
        return str(said.get("componentVersionArn", store.arn("component", "*")))
    if name == "ListImageBuildVersions":
        return str(said.get("imageVersionArn", store.arn("image", "*")))
    if name == "ListImageScanFindings":
        named = [one["values"][0] for one in said.get("filters", ()) if one.get("name") == "imageBuildVersionArn"]
        return str(named[0]) if named else "*"
    if name.startswith("List") and name not in ("ListTagsForResource", "ListWorkflowExecutions"):
        return "*"
    return next((str(said[key]) for key in NAMING if key in said), "*")


def image(store: Store, name: str, said: Asked) -> str:
    """The ARN of an image that is to be made: of its recipe's name and version, or of its distribution's name."""
    if name == "CreateImage":
        path = str(said.get("imageRecipeArn", "/*/*")).split("/")[1:]
    elif str(said.get("sourceImage")).startswith("arn:") and not sources.managed(said["sourceImage"]):
        path = str(said["sourceImage"]).split("/")[1:3]
    else:
        path = [str(said.get("distributionConfigurationArn", "/*")).split("/")[1], "1.0.0"]
    return versions(store.arn("image", path[0]), path[1], store.images)


def needed(name: str, said: Asked) -> Iterator[tuple[str, str]]:
    if name in ("CreateImage", "DistributeImage"):
        for key, action in DEPENDS.items():
            if key in said:
                yield action, str(said[key])
    if name == "DistributeImage" and str(said.get("sourceImage")).startswith("arn:"):
        yield "GetImage", str(said["sourceImage"])
    if name == "CreateImageRecipe":
        for one in said.get("components", ()):
            yield "GetComponent", str(one.get("componentArn"))
        if str(said.get("parentImage")).startswith("arn:"):
            yield "GetImage", str(said["parentImage"])


def passed(store: Store, name: str, said: Asked) -> Iterator[tuple[str, str, Context]]:
    """The roles that a request hands on."""
    iam = iam_backends[store.account_id][partition(store.region_name)]
    if profile := said.get("instanceProfileName"):
        for role in (role for one in iam.instance_profiles.values() if one.name == profile for role in one.roles):
            yield "iam:PassRole", role.arn, {"iam:PassedToService": "ec2.amazonaws.com"}
    if role_name := said.get("executionRole"):
        named = str(role_name)
        target = named if named.startswith("arn:") else arn(
            store.region_name, "iam", store.account_id, f"role/{named}", everywhere=True
        )  # fmt: skip
        yield "iam:PassRole", target, {"iam:PassedToService": "imagebuilder.amazonaws.com"}
