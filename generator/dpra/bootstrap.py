"""`dpra bootstrap`: what an administrator deploys in each account before the pipeline's first run.

In each environment's account that is the stack of the trust, in the first of its regions, and the stack of the store in
each of them. The AWS CLI deploys them, by change sets, as the pipeline deploys the component.
"""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dpra import names, render, resources
from dpra import problems as planning
from dpra.dataclasses import dataclass
from dpra.errors import InputError, OutsideError
from dpra.plan import Plan
from dpra.spec.models import Spec

if TYPE_CHECKING:
    from dpra.github.identity import Identity

PROVIDER = "token.actions.githubusercontent.com"
# What the AWS CLI believes before the profile that is asked for.
CREDENTIALS = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_DEFAULT_PROFILE", "AWS_PROFILE"),
    *("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"),
)


class BootstrapError(OutsideError):
    """AWS refused, or could not be asked. `str()` says what."""


class ProfileError(InputError):
    """`--profile` names no environment, or several profiles for one. `str()` says what there is."""


@dataclass(frozen=True)
class Stack:
    """A CloudFormation stack of an account."""

    environment: str
    account: str
    region: str
    name: str
    path: str  # of its template in the repository
    template: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]

    @property
    def trust(self) -> bool:
        """Whether it is the account's trust; else a store of releases."""
        return self.path.endswith(f"/{self.environment}.yml")


def stacks(plan: Plan, texts: Mapping[str, str]) -> list[Stack]:
    """What is deployed once in each account, in order. Pure.

    Args:
        texts: the templates, by their paths in the repository.
    """
    found = []
    for where in plan.environments.values():
        tags = {"dpra:component": plan.spec.name, "dpra:environment": where.id}
        for kind, places in ((where.id, where.regions[:1]), *((name, where.regions) for name in where.infrastructure)):
            path = render.infrastructure_file(kind)
            text, name = texts.get(path, ""), names.stack(plan.spec, kind)
            parameters = {"CreateProvider": "true"} if "CreateProvider:" in text else {}
            for region in places:
                found.append(Stack(where.id, where.account, region, name, path, text, parameters, tags))
    return found


def as_json(stack: Stack) -> dict[str, Any]:
    """A stack for machines."""
    return {
        "environment": stack.environment,
        "account": stack.account,
        "region": stack.region,
        "stack": stack.name,
        "template": stack.path,
        "parameters": dict(stack.parameters),
    }


def printed(some: Iterable[Stack]) -> str:
    """The templates as YAML documents, each once, below a comment that says where it belongs."""
    same: dict[tuple[str, str], list[Stack]] = {}
    for stack in some:
        same.setdefault((stack.environment, stack.name), []).append(stack)
    documents = []
    for those in same.values():
        stack, regions = those[0], ", ".join(each.region for each in those)
        head = f"# account {stack.account} ({stack.environment}), stack {stack.name}, in {regions}\n"
        documents.append(head + stack.template)
    return "---\n".join(documents)


def known_to(spec: Spec, found: "Identity") -> Spec:
    """The spec with the ids that GitHub says.

    Raises:
        PlanError: GitHub spells the repository otherwise; no token would ever carry the spec's name.
    """
    if found.name != spec.repository:
        raise planning.PlanError({"repository": f"GitHub calls it {found.name}, and so do its tokens"})
    return replace(spec, repository_id=found.repository_id, owner_id=found.owner_id)


# ---- AWS


def profiles(given: Iterable[str], accounts: Mapping[str, str]) -> dict[str, str]:
    """environment -> profile of the AWS CLI; empty for the credentials that are in the environment.

    Args:
        given: `NAME` for all environments, in which `{environment}` and `{account}` stand for theirs, or
            `ENVIRONMENT=NAME` for one.
        accounts: environment -> account.
    Raises:
        ProfileError: an unknown environment, or two profiles for one.
    """
    found: dict[str, str] = {}
    for one in given:
        environment, named, profile = one.partition("=")
        if named and environment not in accounts:
            raise ProfileError(f"--profile {one}: no environment {environment}; there is {', '.join(accounts)}")
        key = environment if named else ""
        if key in found:
            raise ProfileError(f"--profile {one}: {environment if named else 'all environments'} had one before")
        found[key] = profile if named else one
    return {
        environment: found.get(environment, found.get("", ""))
        .replace("{environment}", environment)
        .replace("{account}", account)
        for environment, account in accounts.items()
    }


@contextmanager
def _in(stack: Stack, profile: str) -> Iterator[ModuleType]:
    """The pack's own deployment, with a profile in place of the credentials that are in the environment."""
    lib = resources.lib("deployers/cloudformation")
    before = {name: os.environ.pop(name) for name in CREDENTIALS if profile and name in os.environ}
    if profile:
        os.environ["AWS_PROFILE"] = profile
    try:
        yield lib
    except lib.runner.Failed as error:
        raise BootstrapError(f"{stack.environment}, {stack.region}: {error}") from error
    finally:
        if profile:
            del os.environ["AWS_PROFILE"]
        os.environ.update(before)


def expect_accounts(some: Iterable[Stack], profile_of: Mapping[str, str]) -> None:
    """Make sure that the credentials are those of the accounts, before anything is done in any of them.

    Raises:
        BootstrapError: they are of another account, or there are none.
    """
    for environment, stack in {stack.environment: stack for stack in some}.items():
        profile = profile_of[environment]
        try:
            with _in(stack, profile) as lib:
                lib.aws.expect_account(stack.region, stack.account)
        except BootstrapError as error:
            used = f"profile {profile}" if profile else f"no --profile {environment}=NAME"
            raise BootstrapError(f"{error} ({used}); nothing was done") from error


def differs(stack: Stack, profile: str) -> bool:
    """Shows what `deploy` would change. Nothing is: the change set is taken back.

    Raises:
        BootstrapError: AWS refused.
    """
    with _in(stack, profile) as lib:
        planned, new = _propose(lib, stack)
        lib.show(stack.name, planned)
        if planned.differs:
            _take_back(lib, stack, planned, new)
        return bool(planned.differs)


def deploy(stack: Stack, profile: str, confirm: Callable[[str], bool]) -> str:
    """Makes a stack what its template says: `unchanged`, `deployed` or `declined`.

    Args:
        confirm: is asked a question when the changes have been shown.
    Raises:
        BootstrapError: AWS refused, or the deployment failed.
    """
    with _in(stack, profile) as lib:
        planned, new = _propose(lib, stack)
        lib.show(stack.name, planned)
        if not planned.differs:
            return "unchanged"
        agreed = False
        try:
            agreed = confirm(f"Change {stack.name} in account {stack.account}, {stack.region}?")
        finally:
            if not agreed:
                _take_back(lib, stack, planned, new)
        if not agreed:
            return "declined"
        lib.execute(stack.region, stack.name, planned)
        return "deployed"


def _propose(lib: ModuleType, stack: Stack) -> tuple[Any, bool]:
    """A change set with its changes, and whether its stack did not exist before."""
    there = lib.describe(stack.region, stack.name)
    request = {
        "StackName": stack.name,
        "ChangeSetName": f"dpra-{secrets.token_hex(6)}",
        "ChangeSetType": lib.change_set_type(stack.region, stack.name),
        "TemplateBody": stack.template,
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
        "Parameters": [
            {"ParameterKey": name, "ParameterValue": value} for name, value in _parameters(lib, stack, there).items()
        ],
        "Tags": [{"Key": name, "Value": value} for name, value in stack.tags.items()],
    }
    try:
        planned = lib.created(stack.region, stack.name, request)
    except lib.runner.Failed:
        if not there:
            _forget(lib, stack)
        raise
    return planned, not there


def _parameters(lib: ModuleType, stack: Stack, there: Mapping[str, Any]) -> dict[str, str]:
    """The parameters' values: those that the stack has, else the provider is made where the account has none."""
    found = dict(stack.parameters)
    kept = {one["ParameterKey"]: one.get("ParameterValue", "") for one in there.get("Parameters", [])}
    for name in found:
        if name in kept:
            found[name] = kept[name]
        elif name == "CreateProvider" and _has_provider(lib, stack.region):
            found[name] = "false"
    return found


def _has_provider(lib: ModuleType, region: str) -> bool:
    listed = lib.aws.call(region, "iam", "list-open-id-connect-providers")["OpenIDConnectProviderList"]
    return any(one["Arn"].endswith(f":oidc-provider/{PROVIDER}") for one in listed)


def _take_back(lib: ModuleType, stack: Stack, planned: Any, new: bool) -> None:
    lib.aws.call(stack.region, "cloudformation", "delete-change-set", ChangeSetName=planned.change_set)
    if new:
        _forget(lib, stack)


def _forget(lib: ModuleType, stack: Stack) -> None:
    """A change set for a stack that is not there leaves an empty one."""
    if lib.describe(stack.region, stack.name).get("StackStatus") == "REVIEW_IN_PROGRESS":
        lib.aws.call(stack.region, "cloudformation", "delete-stack", StackName=stack.name)
