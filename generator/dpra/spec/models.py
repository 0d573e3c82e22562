"""The spec language: what a `dpra.yml` may say.

The reader, the JSON Schema and the reference are made from these classes: a key's kind, default and documentation
stand here and nowhere else. A key or value that a later version will bring is listed as `later`: until it works it is
refused with "not supported yet", never accepted and ignored.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any

# The regions of AWS's commercial partition; a test holds this list against botocore's.
REGIONS = tuple(
    "af-south-1 ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 "
    "ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7 "
    "ca-central-1 ca-west-1 eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 "
    "eu-west-3 il-central-1 me-central-1 me-south-1 mx-central-1 sa-east-1 us-east-1 us-east-2 us-west-1 "
    "us-west-2".split()
)


# ---- Kinds: what a value may look like


@dataclass(frozen=True)
class Text:
    """A string. `pattern` must match the whole of it; `says` tells somebody who got it wrong what it should be."""

    says: str
    pattern: str
    longest: int = 200  # characters


@dataclass(frozen=True)
class Number:
    """A whole number, at least `least`."""

    least: int


@dataclass(frozen=True)
class Choice:
    """One of a few words; `later` holds words that are refused as not supported yet."""

    of: tuple[str, ...]
    later: tuple[str, ...] = ()


@dataclass(frozen=True)
class ListOf:
    """A list without repetitions."""

    kind: Any
    least: int = 0


@dataclass(frozen=True)
class MapOf:
    """A mapping whose keys are words of the pipeline type's catalogue: its environments or its actions."""

    words: str
    model: type
    all_required: bool = False


@dataclass(frozen=True)
class Model:
    """A nested mapping with fixed keys."""

    model: type


ACCOUNT = Text("an AWS account id: 12 digits, in quotes", r"[0-9]{12}")
BRANCH = Text(
    "a branch name of letters, digits and ._-/",  # no glob characters: it stands in `on.push.branches`
    r"(?!.*(\.\.|//|\.lock$))[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9_-])?",
)
COMMAND = Text("a shell command", r"[\s\S]*\S[\s\S]*", longest=16_000)  # GitHub cuts expressions at 21,000 characters
# Length and letters leave room for the longest AWS names made from it: a bucket's 63 characters, a role's 64.
NAME = Text("2 to 24 lower-case letters, digits and single hyphens, a letter first", r"[a-z](?:-?[a-z0-9]+)+", 24)
OWNER = Text("a code owner: @user, @organisation/team or an e-mail address", r"@[\w.-]+(?:/[\w.-]+)?|[^\s@#]+@[\w.-]+")
PATH = Text("a path inside the repository", r"(?!/|\\|[A-Za-z]:|(?:.*[/\\])?\.\.(?:[/\\]|$)).+")
REPOSITORY = Text("owner/name, as GitHub spells it", r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
STACK = Text("a CloudFormation stack name: letters, digits, hyphens", r"[A-Za-z][A-Za-z0-9-]*", 100)
TOOL = Text("a tool's name", r"[a-z0-9][a-z0-9-]*")


def key(kind: Any, doc: str, *, default: Any = MISSING, example: str = "") -> Any:
    """A key of the spec. Without `default` it is required."""
    metadata = {"kind": kind, "doc": doc, "example": example}
    if default is dict:
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


# ---- Models: the mappings of the spec. `later` names the keys that a later version brings.


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where one stage of the pipeline deploys to: an AWS account of its own, as DPRA asks."""

    account: str = key(ACCOUNT, "The AWS account of this environment.", example='"111111111111"')
    regions: tuple[str, ...] = key(
        ListOf(Choice(REGIONS)),
        "Regions to deploy to. Left out: the first of the component's regions in beta, all of them elsewhere "
        "(DPRA: gamma has the same regions as prod).",
        default=(),
    )
    later = ("alarms", "bake", "deploy", "reviewers", "role", "runs-on", "stack", "waves", "windows")


@dataclass(frozen=True, kw_only=True)
class Action:
    """How one DPRA action is done. `dpra plan` shows which there are, and what they do unless told otherwise."""

    command: str = key(
        COMMAND,
        "The shell command of a build or test action. A test command writes its JUnit report to $JUNIT_FILE; the tests "
        "of a deployed stage find the stack's outputs as JSON in $DEPLOYMENT_OUTPUTS.",
        default="",
        example='python -m pytest tests/unit --junitxml "$JUNIT_FILE"',
    )
    tool: str = key(TOOL, "The tool of a check.", default="", example="bandit")
    later = ("advisory", "baseline", "env", "fail-on", "reason", "waivers", "working-directory")


@dataclass(frozen=True, kw_only=True)
class Deploy:
    """How the component is deployed."""

    by: str = key(
        Choice(("cloudformation",), later=("cdk", "ecs", "lambda", "s3", "sam", "script", "terraform")),
        "The deploy tool.",
        default="cloudformation",
    )
    template: str = key(
        PATH,
        "The CloudFormation template. Of the parameters ArtifactBucket, ArtifactKey and Environment it is given those "
        "that it declares.",
        default="infrastructure/template.yml",
    )
    stack: str = key(STACK, "The stack's name. Left out: the component's name.", default="")
    later = ("database", "parameters")


@dataclass(frozen=True, kw_only=True)
class Spec:
    """How one component is delivered."""

    name: str = key(NAME, "The component's name; roles, stacks and buckets are named after it.", example="shop")
    repository: str = key(REPOSITORY, "The GitHub repository; AWS trusts its workflows only.", example="acme/shop")
    regions: tuple[str, ...] = key(
        ListOf(Choice(REGIONS), least=1), "The AWS regions the component runs in.", example="[eu-west-1]"
    )
    environments: Mapping[str, Environment] = key(
        MapOf("environments", Environment, all_required=True), "The pipeline type's environments."
    )
    pipeline: str = key(
        Choice(("application",), later=("account-fleet", "compute-image", "dynamic-configuration")),
        "The DPRA pipeline type.",
        default="application",
    )
    repository_id: int = key(
        Number(1),
        "The repository's id (`gh api repos/OWNER/NAME --jq .id`). Needed for repositories made, renamed or moved "
        "after 2026-07-15: GitHub puts it into the OIDC subject. With it, AWS checks it too.",
        default=0,
        example="456",
    )
    owner_id: int = key(
        Number(1),
        "The owner's id (`gh api repos/OWNER/NAME --jq .owner.id`); goes with repository-id.",
        default=0,
        example="123",
    )
    trunk: str = key(BRANCH, "The branch whose commits are delivered.", default="main")
    language: str = key(
        Choice(("python",), later=("container", "dotnet", "go", "java", "node")),
        "The language; it decides the toolchain and the default commands.",
        default="python",
    )
    deploy: Deploy = key(Model(Deploy), "How the component is deployed.", default=Deploy())
    actions: Mapping[str, Action] = key(
        MapOf("actions", Action), "What to do otherwise than by default, by DPRA action.", default=dict
    )
    owners: tuple[str, ...] = key(
        ListOf(OWNER),
        "Who must review a change of dpra.yml, the workflows and the vendored actions (CODEOWNERS).",
        default=(),
        example="['@acme/platform']",
    )
    later = (
        "artifact bake channels env freeze github metrics notifications permissions profile runs-on schedules services "
        "signing survey unmanaged waivers windows working-directory"
    ).split()
