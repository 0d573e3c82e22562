"""Which permissions a request to AWS AppConfig needs: actions, resources, and the values of their condition keys.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsappconfig.html, as cfn-lint has it"""

from collections.abc import Iterator, Mapping
from typing import Any

from ..protocol import Asked, Problem
from .api import read
from .data import place
from .store import STORES, Store

APPLICATION, PROFILE, ENVIRONMENT = ("application",), ("application", "profile"), ("application", "environment")
# The resources of each operation, each of which must be allowed; of any other operation here, all resources.
NEEDS = {
    **dict.fromkeys(("GetApplication", "UpdateApplication", "DeleteApplication"), APPLICATION),
    **dict.fromkeys(("CreateEnvironment", "ListEnvironments"), APPLICATION),
    **dict.fromkeys(("CreateConfigurationProfile", "ListConfigurationProfiles"), APPLICATION),
    **dict.fromkeys(("GetEnvironment", "UpdateEnvironment", "DeleteEnvironment", "ListDeployments"), ENVIRONMENT),
    **dict.fromkeys(("GetConfigurationProfile", "UpdateConfigurationProfile", "DeleteConfigurationProfile"), PROFILE),
    **dict.fromkeys(("CreateHostedConfigurationVersion", "ListHostedConfigurationVersions"), PROFILE),
    **dict.fromkeys(("GetHostedConfigurationVersion", "DeleteHostedConfigurationVersion"), (*PROFILE, "version")),
    **dict.fromkeys(("GetDeployment", "StopDeployment"), (*ENVIRONMENT, "deployment")),
    **dict.fromkeys(("GetDeploymentStrategy", "UpdateDeploymentStrategy", "DeleteDeploymentStrategy"), ("strategy",)),
    **dict.fromkeys(("ListTagsForResource", "TagResource", "UntagResource"), ("resource",)),
    **dict.fromkeys(("StartConfigurationSession", "GetLatestConfiguration"), ("configuration",)),
    "StartDeployment": (*ENVIRONMENT, "profile", "strategy"),
    "ValidateConfiguration": PROFILE,
}
TARGETS = {
    "application": "application/{ApplicationId}",
    "environment": "application/{ApplicationId}/environment/{EnvironmentId}",
    "profile": "application/{ApplicationId}/configurationprofile/{ConfigurationProfileId}",
    "version": "application/{ApplicationId}/configurationprofile/{ConfigurationProfileId}"
    "/hostedconfigurationversion/{VersionNumber}",
    "deployment": "application/{ApplicationId}/environment/{EnvironmentId}/deployment/{DeploymentNumber}",
    "strategy": "deploymentstrategy/{DeploymentStrategyId}",
}

Context = dict[str, str | list[str]]


def asked(region: str, account: str, environ: Mapping[str, Any]) -> Iterator[tuple[str, str, Context]]:
    """Action, resource, and the tags of the resource and of the request."""
    store: Store = STORES[account][region]
    try:
        request = read(environ)
    except Problem:  # which AppConfig tells those only who may ask
        request = None
    if request is None:
        yield "appconfig:Unknown", "*", {}
        return
    name, said = request.operation.name, request.asked
    context: Context = {f"aws:RequestTag/{key}": str(value) for key, value in (said.get("Tags") or {}).items()}
    if keys := [*(said.get("Tags") or ()), *said.get("TagKeys", ())]:
        context["aws:TagKeys"] = keys
    for kind in NEEDS.get(name, ("all",)):
        target = target_of(store, kind, said)
        tags = {f"aws:ResourceTag/{key}": value for key, value in store.tags.get(target, {}).items()}
        yield f"appconfig:{name}", target, {**context, **tags}
    for monitor in said.get("Monitors") or ():
        if role := monitor.get("AlarmRoleArn"):
            yield "iam:PassRole", role, {"iam:PassedToService": "appconfig.amazonaws.com"}


def target_of(store: Store, kind: str, said: Asked) -> str:
    """The ARN of a resource that a request names; `*` where it names none."""
    try:
        if kind == "configuration":
            return store.arn("application", *configuration(store, said))
        if kind == "resource":
            return str(said["ResourceArn"])
        return store.arn(TARGETS[kind].format_map(said)) if kind in TARGETS else "*"
    except (KeyError, Problem):
        return "*"


def configuration(store: Store, said: Asked) -> tuple[str, ...]:
    if "ConfigurationToken" in said:
        session = store.sessions[said["ConfigurationToken"]]
        found = (session.application, session.environment, session.profile)
    else:
        found = place(store, said)
    return found[0], "environment", found[1], "configuration", found[2]
