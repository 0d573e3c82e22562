"""The spec language: what a `dpra.yml` may say.

The reader, the JSON Schema and the reference are made from these classes: a key's kind, default and documentation
stand here and nowhere else. A key or value that a later version will bring is listed as `later`: until it works it is
refused with "not supported yet", never accepted and ignored.
"""

from collections.abc import Mapping
from dataclasses import MISSING, field, fields
from typing import Any

from dpra.dataclasses import dataclass

# The regions of AWS by partition; a test holds them against botocore's. The isolated partitions cannot reach GitHub.
PARTITIONS = {
    "aws": tuple(
        "af-south-1 ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 "
        "ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7 "
        "ca-central-1 ca-west-1 eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 "
        "eu-west-3 il-central-1 me-central-1 me-south-1 mx-central-1 sa-east-1 us-east-1 us-east-2 us-west-1 "
        "us-west-2".split()
    ),
    "aws-cn": ("cn-north-1", "cn-northwest-1"),
    "aws-eusc": ("eusc-de-east-1",),
    "aws-us-gov": ("us-gov-east-1", "us-gov-west-1"),
}
REGIONS = tuple(region for regions in PARTITIONS.values() for region in regions)


# ---- Kinds: what a value may look like


class Expression(str):
    """A user's text in which GitHub evaluates `${{ }}`. Only a kind that says so makes one."""


@dataclass(frozen=True)
class Text:
    """A string. `pattern` must match the whole of it; `says` tells somebody who got it wrong what it should be."""

    says: str
    pattern: str
    longest: int = 200  # characters
    expression: bool = False  # GitHub evaluates `${{ }}` in it; elsewhere it is literal text
    aws: bool = False  # it names something in AWS, and so nothing that dpra makes there: `dpra` and `dpra-…`


@dataclass(frozen=True)
class Number:
    """A whole number, at least `least`, at most `most`."""

    least: int
    most: int | None = None


@dataclass(frozen=True)
class Flag:
    """true or false."""


@dataclass(frozen=True)
class Word:
    """One word of a list that lies among the data, such as `languages`. `first`: left out, it is the first of the
    pipeline type's."""

    words: str
    first: bool = False


@dataclass(frozen=True)
class Target:
    """What a wave is made of: one of TARGETS, as the pipeline type's catalogue says."""


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    of: tuple[str, ...]


@dataclass(frozen=True)
class ListOf:
    """A list without repetitions. `or_one`: a value alone is a list of one."""

    kind: Any
    least: int = 0
    or_one: bool = False


@dataclass(frozen=True)
class MapOf:
    """A mapping. Its keys are words of a list that lies among the data, as `environments`, or what a Text says."""

    keys: str | Text
    kind: Any
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
CANARY = Text(
    "a canary's name: lower-case letters, digits and _-, {environment}, {account} and {region}",
    r"(?:[a-z0-9_-]|\{(?:environment|account|region)\})+",
    aws=True,
)
COMMAND = Text("a shell command", r"[\s\S]*\S[\s\S]*", longest=16_000)  # GitHub cuts expressions at 21,000 characters
# Length and letters leave room for the longest AWS names made from it: a bucket's 63 characters, a role's 64.
ENV_NAME = Text(
    "an environment variable's name in capitals, none of GitHub's or the actions' own",
    r"(?!(?:GITHUB|RUNNER|INPUT|DPRA|ACTIONS)_|CI$|PATH$|BASH_ENV$|LD_)[A-Z_][A-Z0-9_]*",
)
EXPRESSION = Text("text; GitHub evaluates ${{ }} in it", r"[\s\S]*", longest=4_000, expression=True)
FLAG = Text("a flag's key: letters, digits and _-, a lower-case letter first", r"[a-z][A-Za-z0-9_-]*", 64)
GLOB = Text(
    "a path with * and **, without . and .. as a part",
    r"(?![/! ])(?!(?:.*/)?\.\.?(?:/|$))[A-Za-z0-9_.*/ @=,-]*[A-Za-z0-9_.*/@=,-]",
)
IMAGE = Text("an image by digest: name@sha256:…", r"[a-z0-9][\w./:-]*@sha256:[0-9a-f]{64}")
INSTANCE_TYPE = Text("an EC2 instance type", r"[a-z][a-z0-9-]*\.[a-z0-9-]+", 32)
ORGANIZATION = Text(
    "the id of an organization, o-…, or its ARN",
    r"(?:arn:[a-z-]+:organizations::[0-9]{12}:organization/)?o-[a-z0-9]{10,32}",
)
PARENT = Text(
    "the name of a parameter of Systems Manager, /…, or the id of an AMI",
    r"/[A-Za-z0-9._/-]+|ami-(?:[0-9a-f]{8}|[0-9a-f]{17})",
)
REGION = Text("an AWS region", "|".join(REGIONS))
PRODUCT = Text("the id of a Service Catalog product: prod-…", r"prod-[a-z0-9]{6,50}")
INPUT = Text("the name of an input", r"[A-Za-z_][\w-]*")
LABEL = Text("a runner's label", r"[A-Za-z0-9][\w. -]*")
LINE = Text("one line of text", r"\S(?:[^\n\r\u0085\u2028\u2029]*\S)?")
NAME = Text("2 to 24 lower-case letters, digits and single hyphens, a letter first", r"[a-z](?:-?[a-z0-9]+)+", 24)
COMPONENT = Text(NAME.says, NAME.pattern, NAME.longest, aws=True)
ALARM = Text(LINE.says, LINE.pattern, aws=True)
OWNER = Text("a code owner: @user, @organisation/team or an e-mail address", r"@[\w.-]+(?:/[\w.-]+)?|[^\s@#]+@[\w.-]+")
PATH = Text("a path inside the repository", r"(?!/|\\|[A-Za-z]:|(?:.*[/\\])?\.\.(?:[/\\]|$)).+")
REPOSITORY = Text("owner/name, as GitHub spells it", r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
PACK = Text(
    "a repository at a full commit SHA: OWNER/REPO@<40 hex digits>",
    r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/(?!\.{1,2}@)[A-Za-z0-9._-]{1,100}@[0-9a-f]{40}",
)
POLICY = Text(
    "the ARN of an IAM policy: arn:aws:iam::ACCOUNT:policy/NAME",
    rf"arn:(?:{'|'.join(PARTITIONS)}):iam::(?:aws|[0-9]{{12}}):policy/(?:[A-Za-z0-9_+=,.@-]+/)*[A-Za-z0-9_+=,.@-]{{1,128}}",
    longest=600,
)
READ = "read"  # what a test may ask of AWS without a policy of its own
TEST_ROLE = Text(
    "read, or the ARN of an IAM policy: arn:aws:iam::{account}:policy/NAME",
    rf"{READ}|{POLICY.pattern.replace('[0-9]{12}', '[0-9]{12}|[{]account[}]')}",
    longest=600,
)
PORT = Text("a port, or HOST:CONTAINER", r"[0-9]{1,5}(?::[0-9]{1,5})?")
USES = Text(
    "an action at a full commit SHA (owner/name@<40 hex digits>) or a path that begins with ./",
    r"[\w.-]+/[\w./-]+@[0-9a-f]{40}|\./(?!.*\.\.)[\w./-]+",
)
STACK = Text("a CloudFormation stack name: letters, digits, hyphens", r"[A-Za-z][A-Za-z0-9-]*", 100, aws=True)
_WORD = r"(?:[A-Za-z0-9]|\{(?:environment|account|region)\})"  # what differs by environment is filled in
FILLED = Text("letters, digits and ._-, {environment}, {account} and {region}", rf"{_WORD}(?:{_WORD}|[._-])*", 128)
FILLED_NAME = Text(FILLED.says, FILLED.pattern, FILLED.longest, aws=True)
FILLED_PATH = Text("a name with / in it, {environment}, {account} and {region}", rf"{_WORD}(?:{_WORD}|[/._-])*", 256)
SECRET = Text(FILLED_PATH.says, FILLED_PATH.pattern, FILLED_PATH.longest, aws=True)
FILLED_STACK = Text(
    "a stack name: letters, digits, hyphens, {environment}, {account} and {region}",
    r"(?:[A-Za-z]|\{environment\})(?:[A-Za-z0-9-]|\{(?:environment|account|region)\})*",
    120,
    aws=True,
)
FILLED_URL = Text(
    "an https address; {environment}, {account} and {region} are filled in", rf"https://(?:{_WORD}|[/._:?=&-])+"
)
JDBC = Text(
    "a JDBC address such as jdbc:postgresql://HOST:PORT/NAME; {environment}, {account} and {region} are filled in",
    rf"jdbc:[a-z0-9]+:(?:{_WORD}|[/._:?=&;@-])+",
    500,
)
ROLES = Text(
    "a role's name, behind its path if it has one, with * in it and {environment}, {account}, {region}",
    rf"(?:{_WORD}|[\w+=,.@*-])(?:{_WORD}|[\w+=,.@*/-])*",
    100,
    aws=True,
)
_UNIT = r"[A-Za-z0-9_](?:[A-Za-z0-9 _.+&-]*[A-Za-z0-9_.+&-])?"
UNIT = Text(
    "the path of an organisational unit, such as Workloads/Prod; the root's is root", rf"{_UNIT}(?:/{_UNIT}){{0,4}}"
)
TARGETS: Mapping[str, Choice | Text] = {"region": Choice(REGIONS), "unit": UNIT}
KINDS = ("kind", "with")  # of an image: the keys whose values may have a folder of templates, each in that of the last
TOOL = Text("a tool's name", r"[a-z0-9][a-z0-9-]*")
VERSION = Text("a version, such as 3.12 or 22.x, in quotes", r"[0-9A-Za-z][\w.+*-]*")
DATE = Text("a day, such as 2027-01-31", r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])")
DATES = Text("a day, such as 2027-01-31, or two with / between", rf"{DATE.pattern}(?:/{DATE.pattern})?")
HOURS = Text("HH:MM-HH:MM, in quotes", r"(?:[01][0-9]|2[0-3]):[0-5][0-9]-(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)")
RULE = Text("the id of a rule or of a vulnerability", r"[A-Za-z0-9][\w./:@()-]*")
CRON = Text("a cron expression of five fields", r"[0-9*,/-]+ [0-9*,/-]+ [0-9*,/-]+ [0-9A-Z*,/-]+ [0-9A-Z*,/-]+")
TIMEZONE = Text("a time zone, such as Europe/Berlin", r"UTC|[A-Z][A-Za-z_]+(?:/[A-Z][A-Za-z_+-]+){1,2}")
SCOPES = tuple(  # of GITHUB_TOKEN, but for those that dpra gives itself: contents and id-token
    "actions artifact-metadata attestations checks code-quality deployments discussions issues models packages pages "
    "pull-requests repository-projects security-events statuses vulnerability-alerts".split()
)
READ_ONLY = ("models", "vulnerability-alerts")  # of the scopes: GitHub refuses a workflow that asks to write them


def key(kind: Any, doc: str, *, default: Any = MISSING, example: str = "", by_type: bool = False) -> Any:
    """A key of the spec. Without `default` it is required. `by_type`: only types have it whose catalogue takes it."""
    metadata = {"kind": kind, "doc": doc, "example": example, "by_type": by_type}
    if default is dict:
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


# ---- Models: the mappings of the spec. `later` names the keys that a later version brings.


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where one stage of the pipeline deploys to: an AWS account of its own, as DPRA asks."""

    account: str = key(ACCOUNT, "The AWS account of this environment.", example='"111111111111"')
    permissions_boundary: str = key(
        POLICY,
        "The IAM policy that bounds every role of this account: dpra's, and those of the component's template, which "
        "must name it as their PermissionsBoundary. Left out: dpra-NAME-boundary, which dpra makes, bounds the "
        "component's, and what deploys them.",
        default="",
        example="arn:aws:iam::111111111111:policy/boundary",
    )
    regions: tuple[str, ...] = key(
        ListOf(Choice(REGIONS)),
        "Regions to deploy to. Left out: the component's regions, or as many of them as the stage takes by itself.",
        default=(),
    )
    waves: tuple[tuple[str, ...], ...] = key(
        ListOf(ListOf(Target(), least=1)),
        "Production's regions in waves: those of one at the same time, then it bakes, then the next. Left out: one. Of "
        "an account fleet the organisational units of each environment, by their paths.",
        default=(),
        example="[[eu-west-1], [us-east-1, us-west-2]]",
        by_type=True,
    )
    bake: int = key(
        Number(1, 43200),
        "How long a wave of production bakes, in minutes. Without GitHub's wait timers a runner waits for up to 60; "
        "a longer bake ends with the next look of a schedule, once an hour.",
        default=15,
        example="45",
        by_type=True,
    )
    alarms: tuple[str, ...] = key(
        ListOf(ALARM),
        "The names of the CloudWatch alarms that a bake looks at, in each region. Left out: those of the stack.",
        default=(),
        example="[shop-errors]",
        by_type=True,
    )
    later = ("deploy", "reviewers", "role", "runs-on", "stack")


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of your own: `uses` an action or `run` a command."""

    name: str = key(LINE, "What the log calls it.", example="Log in to the registry")
    uses: str = key(USES, "An action, pinned.", default="", example="./.github/actions/login")
    with_: Mapping[str, str] = key(MapOf(INPUT, EXPRESSION), "The action's inputs.", default=dict)
    run: str = key(COMMAND, "A shell command. `${{ }}` is not evaluated in it: put it into `env`.", default="")
    env: Mapping[str, str] = key(MapOf(ENV_NAME, EXPRESSION), "Environment variables.", default=dict)
    if_: str = key(EXPRESSION, "When it runs; left out: if all went well so far.", default="", example="always()")
    working_directory: str = key(PATH, "Where `run` runs, from the repository's root.", default="")


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A state that a flag of AWS AppConfig must have in an environment, account and region before an action goes on."""

    flag: str = key(FLAG, "The flag.", example="new-checkout")
    of: str = key(
        FILLED,
        "Who delivers it: the component of type dynamic-configuration, by the name of its application in AppConfig.",
        example="switches",
    )
    is_: str = key(
        Choice(("on", "off")),
        "The state, as a caller without context gets it: of a flag with variants, that of the variant without a rule.",
        example="off",
    )
    profile: str = key(FILLED, "The configuration profile that holds it.", default="flags")
    environment: str = key(
        FILLED, "The environment in AppConfig. Left out: called as ours is.", default="{environment}"
    )


@dataclass(frozen=True, kw_only=True)
class Action:
    """How one DPRA action is done. `dpra plan` shows which there are, and what they do unless told otherwise."""

    command: str = key(
        COMMAND,
        "The shell command of a build or test action. A test command writes its JUnit report to $JUNIT_FILE, and may "
        "write coverage to $COVERAGE_REPORT; the tests of a deployed stage find the stack's outputs as JSON in "
        "$DEPLOYMENT_OUTPUTS. The package command fills $PACKAGE_DIR.",
        default="",
        example='python -m pytest tests/unit --junitxml "$JUNIT_FILE"',
    )
    tool: tuple[str, ...] = key(
        ListOf(TOOL, or_one=True),
        "The tool of a check; several where it looks at several languages. docs/tools.md lists them.",
        default=(),
        example="semgrep",
    )
    file: str = key(PATH, "What the tool looks at or runs, where it does not find it by itself.", default="")
    role: str = key(
        TEST_ROLE,
        "What the tests of a deployed stage may do in AWS, by a role of their job's own that dpra bootstrap makes. "
        "read: to read what its deployment made; or the ARN of a policy of yours. Left out: no credentials.",
        default="",
        example="read",
    )
    canary: str = key(
        CANARY,
        "A canary of CloudWatch Synthetics in the component's template: it is started, and its runs since the "
        "deployment must have passed. {environment}, {account} and {region} are filled in. It replaces the default "
        "command, not one that you say.",
        default="",
        example='"shop-{environment}"',
    )
    fail_on: str = key(
        Choice(("critical", "high", "medium", "low", "any")),
        "The lowest severity of a finding that fails the check. Left out: as `dpra plan` shows.",
        default="",
        example="critical",
    )
    new_on_trunk: str = key(
        Choice(("block", "notify")),
        "What a finding does on the trunk in a commit that was green in its pull request: it is new to the scanner. "
        "`notify`: it warns, and the nightly scan tells of it. Left out: block.",
        default="",
        example="notify",
    )
    development: bool = key(
        Flag(),
        "Dependencies for development and tests count, too: those of a package manager's lock, and requirements files "
        "that are called so, such as requirements-dev.txt.",
        default=False,
        example="true",
    )
    advisory: bool = key(
        Flag(), "It only warns. Needs a reason; the evidence counts it as an exception.", default=False, example="true"
    )
    reason: str = key(LINE, "Why it only warns.", default="", example="no parser for our dialect yet")
    coverage: int = key(
        Number(0, 100),
        "The lowest line coverage of the unit tests, in percent; their $COVERAGE_REPORT must be there then.",
        default=0,
        example="80",
    )
    reports: str = key(
        GLOB,
        "Where the test command leaves its JUnit reports, if not in $JUNIT_FILE; seen from its working directory.",
        default="",
        example="'**/target/surefire-reports/TEST-*.xml'",
    )
    env: Mapping[str, str] = key(
        MapOf(ENV_NAME, EXPRESSION),
        "Environment variables of the command, besides those of the component. GitHub evaluates `${{ }}`.",
        default=dict,
    )
    working_directory: str = key(PATH, "Where the command runs. Left out: the component's.", default="")
    gates: tuple[Gate, ...] = key(
        ListOf(Model(Gate)),
        "Flags without whose state it does not go on; docs/release-by-flag.md.",
        default=(),
        example="[{flag: new-checkout, of: switches, is: off}]",
    )
    before: tuple[Step, ...] = key(ListOf(Model(Step)), "Steps of your own right before it.", default=())
    after: tuple[Step, ...] = key(ListOf(Model(Step)), "Steps of your own right after it.", default=())


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """A finding that may pass for some time. An expired one fails the check, one that covers nothing is warned of."""

    check: str = key(Word("checks"), "The check that finds it.", example="sca")
    rule: str = key(RULE, "Its rule, or the id of the vulnerability.", example="CVE-2021-44228")
    path: str = key(GLOB, "Where. Left out: everywhere; a secret's waiver needs it.", default="", example="legacy/**")
    reason: str = key(LINE, "Why it may pass.", example="not reachable; mended with the next release")
    owner: str = key(LINE, "Who answers for it.", example="'@acme/payments'")
    until: str = key(DATE, "The last day on which it may, UTC.", example='"2027-01-31"')


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The language's toolchain. What is left out comes from the language's row of defaults."""

    package_manager: str = key(TOOL, "The package manager. Left out: the language's first.", default="", example="pnpm")
    version: str = key(VERSION, "The toolchain's version, instead of a version file.", default="", example='"3.12"')
    version_file: str = key(
        PATH,
        "The file with the toolchain's version, as the language's setup action reads it; seen from working-directory.",
        default="",
        example=".nvmrc",
    )
    install: str = key(COMMAND, "The shell command that installs dependencies.", default="", example="npm ci")
    cache: bool = key(
        Flag(), "Keep the package manager's downloads between runs; needs its lock file.", default=True, example="false"
    )


@dataclass(frozen=True, kw_only=True)
class Permission:
    """A permission of GITHUB_TOKEN beyond what dpra's own steps need."""

    access: str = key(Choice(("read", "write")), "How far it goes.", example="read")
    reason: str = key(LINE, "Why the job needs it; stands beside it.", example="pull from GitHub Packages")


@dataclass(frozen=True, kw_only=True)
class Service:
    """A container beside a job, such as a database for its tests."""

    image: str = key(IMAGE, "The image, by digest.", example="postgres:17@sha256:…")
    env: Mapping[str, str] = key(MapOf(ENV_NAME, EXPRESSION), "Its environment variables.", default=dict)
    ports: tuple[str, ...] = key(ListOf(PORT), "Its ports.", default=(), example='["5432:5432"]')
    options: str = key(LINE, "Options of `docker create`, such as a health check.", default="")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a job of the workflow gets beyond what dpra gives it."""

    runs_on: tuple[str, ...] = key(
        ListOf(LABEL, least=1, or_one=True),
        "The runner: a label, or all the labels that a self-hosted one must have.",
        default=(),
        example="[self-hosted, linux, arm64]",
    )
    permissions: Mapping[str, Permission] = key(
        MapOf("scopes", Model(Permission)), "Permissions of GITHUB_TOKEN, each with its reason.", default=dict
    )
    services: Mapping[str, Service] = key(
        MapOf(NAME, Model(Service)), "Containers beside the job. Not started by a rehearsal.", default=dict
    )


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A time at which the pipeline runs without a push."""

    cron: str = key(CRON, "When.", example='"0 4 * * 1-5"')
    timezone: str = key(TIMEZONE, "The time zone of it; left out: UTC.", default="", example="Europe/Berlin")


_URL = "The address of what is deployed, which tests find in $DEPLOYMENT_OUTPUTS as Url."


@dataclass(frozen=True, kw_only=True)
class Cdk:
    """How a cloud assembly of AWS CDK is deployed: as the build synthesised it."""

    stacks: tuple[str, ...] = key(
        ListOf(FILLED_STACK, least=1),
        "The stacks, by their names in CloudFormation; the assembly says their order.",
        example='["Shop-{environment}"]',
    )
    assembly: str = key(PATH, "The folder of the assembly in the package.", default="cdk.out")


@dataclass(frozen=True, kw_only=True)
class Terraform:
    """How Terraform deploys."""

    bucket: str = key(
        FILLED_NAME, "The S3 bucket of the state, in the account and region.", example='"shop-state-{account}-{region}"'
    )
    folder: str = key(PATH, "The root module's folder, in the repository as in the package. Left out: .", default="")
    version: str = key(VERSION, "Terraform's version, 1.10 or later.", default="1.11.4")


@dataclass(frozen=True, kw_only=True)
class Ecs:
    """How a release gets to a service of Amazon ECS that is there."""

    cluster: str = key(FILLED_NAME, "The cluster.", example="shop")
    service: str = key(FILLED_NAME, "The service.", example="shop")
    container: str = key(
        NAME, "The container that gets the release's image. Left out: the task's only one.", default="", example="web"
    )
    strategy: str = key(
        Choice(("rolling", "blue-green", "canary", "linear")),
        "How tasks are replaced in production. Elsewhere and in a rollback none of it waits.",
        default="rolling",
    )
    percent: int = key(Number(1, 99), "What a canary gets, or one step of linear, of the traffic.", default=10)
    pause: int = key(Number(0, 1440), "How long a step bakes, in minutes.", default=5)
    bake: int = key(Number(0, 1440), "How long the old tasks stay, in minutes; not with rolling.", default=5)
    roles: tuple[str, ...] = key(
        ListOf(ROLES, least=1),
        "The names of the roles that its tasks take, which the pipeline may hand over. Left out: those with the path "
        "/NAME/.",
        default=(),
        example="[shop-task, shop-execution]",
    )
    url: str = key(FILLED_URL, _URL, default="", example='"https://{environment}.shop.example"')


@dataclass(frozen=True, kw_only=True)
class Lambda:
    """How a release gets to a function of AWS Lambda that is there."""

    function: str = key(FILLED_NAME, "The function.", example="shop")
    alias: str = key(NAME, "The alias that callers use.", default="live")
    strategy: str = key(
        Choice(("all-at-once", "canary", "linear")),
        "How the alias goes to the new version in production. Elsewhere and in a rollback: all at once.",
        default="all-at-once",
    )
    percent: int = key(Number(1, 99), "What a canary gets, or one step of linear, of the calls.", default=10)
    pause: int = key(Number(1, 25), "Minutes after a step; then alarms are looked at.", default=5)
    url: str = key(FILLED_URL, _URL, default="", example='"https://{environment}.shop.example"')


@dataclass(frozen=True, kw_only=True)
class S3:
    """How a site gets to a bucket of Amazon S3 that is there."""

    bucket: str = key(FILLED_NAME, "The bucket.", example='"shop-site-{account}"')
    prefix: str = key(FILLED_PATH, "The folder in the bucket. Left out: its root.", default="", example="docs")
    distribution: str = key(
        FILLED,
        "The CloudFront distribution, by its id or one of its domain names. Left out: none is told.",
        default="",
        example='"{environment}.shop.example"',
    )
    immutable: tuple[str, ...] = key(
        ListOf(GLOB),
        "Files whose names change with their content: browsers keep them for a year. All others are asked for anew.",
        default=(),
        example='["assets/**"]',
    )
    url: str = key(FILLED_URL, _URL, default="", example='"https://{environment}.shop.example"')


@dataclass(frozen=True, kw_only=True)
class Script:
    """How your own commands deploy, in the folder of the unpacked package; docs/deploy.md has their contract."""

    preview: str = key(COMMAND, "Shows what would change, and changes nothing.", example="./deploy.sh --dry-run")
    command: str = key(COMMAND, "Deploys, and ends when it is done.", example="./deploy.sh")
    running: str = key(
        COMMAND,
        "Prints the digest of the release that runs; nothing where none does. It has no package.",
        example="aws ssm get-parameter --name /shop/digest --query Parameter.Value --output text",
    )


@dataclass(frozen=True, kw_only=True)
class Database:
    """How the database is changed, before the software; docs/deploy.md tells how to expand and contract."""

    with_: str = key(Choice(("liquibase", "flyway", "command")), "The tool. It must be on the runner's PATH.")
    reversible: bool = key(
        Flag(),
        "Whether the release before runs with the database as this one leaves it. Where not, no rollback is automatic.",
        example="true",
    )
    folder: str = key(PATH, "Where the changes lie in the package.", default="", example="database")
    url: str = key(JDBC, "The database, for liquibase and flyway.", default="", example="jdbc:postgresql://…")
    user: str = key(
        FILLED_NAME, "Who logs in, with a token that RDS gives the pipeline's role.", default="", example="delivery"
    )
    secret: str = key(
        SECRET,
        "Instead of user, the secret in Secrets Manager with username and password, read at run time.",
        default="",
        example='"shop/{environment}/database"',
    )
    preview: str = key(
        COMMAND, "With command: prints what would change; nothing where nothing would.", default="", example="./pending"
    )
    command: str = key(COMMAND, "With command: changes the database.", default="", example="./migrate")


@dataclass(frozen=True, kw_only=True)
class Deploy:
    """How the component is deployed. docs/deploy.md tells what each tool needs."""

    with_: str = key(Word("deployers", first=True), "The deploy tool.", default="cloudformation")
    template: str = key(
        PATH,
        "What describes the deployment. For cloudformation and sam a template; of the parameters ArtifactBucket, "
        "ArtifactKey, Environment, for a container image ImageUri, and with a base BaseImage it is given those that it "
        "declares. For ecs the "
        "task definition as JSON. Left out: infrastructure/template.yml, infrastructure/task-definition.json.",
        default="",
        example="infrastructure/template.yml",
    )
    stack: str = key(
        STACK, "The stack's name, with cloudformation and sam. Left out: the component's name.", default=""
    )
    cdk: Cdk | None = key(Model(Cdk), "With cdk.", default=None)
    terraform: Terraform | None = key(Model(Terraform), "With terraform.", default=None)
    ecs: Ecs | None = key(Model(Ecs), "With ecs.", default=None)
    lambda_: Lambda | None = key(Model(Lambda), "With lambda.", default=None)
    s3: S3 | None = key(Model(S3), "With s3.", default=None)
    script: Script | None = key(Model(Script), "With script.", default=None)
    database: Database | None = key(Model(Database), "What is done to a database before the software.", default=None)
    later = ("parameters",)


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """Where the component's flags and operational configuration lie; docs/configuration.md has their language."""

    flags: str = key(PATH, "The flags: a file, or a folder of files.", default="flags.yml")
    operational: str = key(PATH, "Operational configuration: a folder for each profile.", default="configuration")
    references: tuple[str, ...] = key(
        ListOf(GLOB),
        "Where code names flags: one that is removed while it is named there stops the build. Code of another "
        "repository counts where a step of yours checks it out before code-quality.",
        default=(),
        example="[src/**]",
    )


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The accounts of an organisation; docs/account-fleet.md tells what their files say."""

    folder: str = key(
        PATH,
        "Where organisation.yml, accounts, policies and baselines lie. Left out: in the repository's root.",
        default="",
        example="organisation",
    )
    control_tower: bool = key(
        Flag(), "Whether AWS Control Tower enrols the accounts: it is waited for after a move.", default=False
    )
    requests: bool = key(
        Flag(),
        "Whether Service Catalog of the account alpha has a product by which accounts are asked for; each request "
        "becomes a pull request.",
        default=False,
        example="true",
    )
    closing_days: int = key(
        Number(1, 28),
        "How many days lie between the request to close an account and its end. GitHub runs nothing again that is 30 "
        "days old.",
        default=7,
    )


@dataclass(frozen=True, kw_only=True)
class Image:
    """The image that is built, and who gets it; docs/compute-image.md tells of it."""

    kind: str = key(Choice(("container", "machine")), "What it is an image of.", default="container")
    file: str = key(PATH, "The Dockerfile or Containerfile; it is built in its folder.", default="Dockerfile")
    platforms: tuple[str, ...] = key(
        ListOf(Choice(("linux/amd64", "linux/arm64")), least=1),
        "What it is built for. One that the runner is not, runs its commands by emulation.",
        default=("linux/amd64",),
    )
    with_: str = key(Choice(("image-builder", "packer")), "What makes a machine's image.", default="image-builder")
    parent: str = key(
        PARENT,
        "The AMI that a machine's image is made from.",
        default="",
        example="/aws/service/debian/release/12/latest/amd64",
    )
    components: str = key(
        PATH,
        "The folder of a machine's component documents, which Image Builder runs in the order of their names, or that "
        "of its Packer template.",
        default="components",
    )
    instance_type: str = key(INSTANCE_TYPE, "On what a machine's image is built, and tested.", default="t3.small")
    size: int = key(Number(1, 16_384), "How large a machine's volume is, in GiB; left out: as its parent's.", default=0)
    vpc: str = key(
        Text("the id of a VPC", r"vpc-[0-9a-f]{8,17}"),
        "Where that is done in the test account; left out: in its default VPC.",
        default="",
        example="vpc-0a1b2c3d",
    )
    subnet: str = key(
        Text("the id of a subnet", r"subnet-[0-9a-f]{8,17}"),
        "A subnet of that VPC, from which Systems Manager can be reached.",
        default="",
        example="subnet-0a1b2c3d",
    )
    inspector: bool = key(
        Flag(),
        "Amazon Inspector scans a machine's image, too, as it is tested, and the vulnerability assessment judges what "
        "it finds. The test account must have it switched on for EC2.",
        default=False,
        example="true",
    )
    accounts: tuple[str, ...] = key(
        ListOf(ACCOUNT),
        "The accounts that may use it, besides production's.",
        default=(),
        example='["555555555555"]',
    )
    organization: str = key(
        ORGANIZATION,
        "The organization whose accounts may all use it; of a machine's image its ARN.",
        default="",
        example="o-a1b2c3d4e5",
    )
    products: Mapping[str, str] = key(
        MapOf(REGION, PRODUCT),
        "The products of Service Catalog, by region, that get a version for each image.",
        default=dict,
        example="{eu-west-1: prod-abcd1234efgh5}",
    )
    template: str = key(
        PATH,
        "The CloudFormation template of those versions; what stands in it as /images/NAME/VERSION becomes the "
        "parameter of the image.",
        default="infrastructure/product.yml",
    )
    keep: int = key(Number(1, 1000), "How many of its newest versions stay, used or not.", default=10)
    days: int = key(Number(1, 3650), "For how long each version stays, used or not.", default=90)


@dataclass(frozen=True, kw_only=True)
class Base:
    """The golden image that the component is made on, of a compute image pipeline; docs/base-image.md tells of it."""

    image: str = key(COMPONENT, "That pipeline's component.", example="base")
    account: str = key(
        ACCOUNT,
        "The account of its production; that pipeline names this one's in image.accounts.",
        example='"333333333333"',
    )
    region: str = key(
        REGION,
        "Where its parameters are asked. Left out: the component's first region.",
        default="",
        example="eu-west-1",
    )
    file: str = key(PATH, "Of a container, the Dockerfile that is made from it.", default="Dockerfile")


@dataclass(frozen=True, kw_only=True)
class Windows:
    """When a release may go to production. It is built and tested at any time; who has a reason may release outside."""

    days: tuple[str, ...] = key(
        ListOf(Choice(("mon", "tue", "wed", "thu", "fri", "sat", "sun"))),
        "Days of the week. Left out: every day.",
        default=(),
        example="[mon, tue, wed, thu]",
    )
    hours: str = key(
        HOURS, "From when to when, in that time zone. Left out: all day.", default="", example='"09:00-16:00"'
    )
    timezone: str = key(TIMEZONE, "The time zone; left out: UTC.", default="", example="Europe/Berlin")
    freeze: tuple[str, ...] = key(
        ListOf(DATES),
        "Days on which nothing is released: single ones, or from one to another.",
        default=(),
        example='["2026-12-24/2027-01-02"]',
    )


@dataclass(frozen=True, kw_only=True)
class Hotfix:
    """The way to production that waits for nothing but an approval; signature and trust it never skips."""

    skip: tuple[str, ...] = key(
        ListOf(Word("checks-and-tests")),
        "What it skips besides the test stages and the bakes: checks, and tests of the build.",
        default=(),
        example="[unit-tests, licence-policy]",
    )


@dataclass(frozen=True, kw_only=True)
class GitHub:
    """What GitHub offers this repository. Private repositories have attestations in Enterprise only."""

    plan: str = key(Choice(("free", "pro", "team", "enterprise")), "The owner's plan.", default="team")
    visibility: str = key(Choice(("private", "internal", "public")), "Who sees the repository.", default="private")
    approval_branch: str = key(
        BRANCH,
        "Where GitHub offers no reviewers (private below Enterprise): the protected branch into which a reviewed pull "
        "request merges what is approved for production.",
        default="production",
    )


@dataclass(frozen=True, kw_only=True)
class Spec:
    """How one component is delivered."""

    name: str = key(COMPONENT, "The component's name; roles, stacks and buckets are named after it.", example="shop")
    repository: str = key(REPOSITORY, "The GitHub repository; AWS trusts its workflows only.", example="acme/shop")
    regions: tuple[str, ...] = key(
        ListOf(Choice(REGIONS), least=1), "The AWS regions the component runs in.", example="[eu-west-1]"
    )
    environments: Mapping[str, Environment] = key(
        MapOf("environments", Model(Environment), all_required=True), "The pipeline type's environments."
    )
    pipeline: str = key(
        Word("pipelines"),
        "The DPRA pipeline type.",
        default="application",
    )
    profile: str = key(
        Word("profiles"),
        "How much of DPRA. standard: all that it requires. Another one does less, and is marked DPRA-partial.",
        default="standard",
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
    github: GitHub = key(
        Model(GitHub),
        "What GitHub offers this repository. Where it has attestations, they sign the release; else a KMS key does.",
        default=GitHub(),
        example="{plan: enterprise}",
    )
    trunk: str = key(BRANCH, "The branch whose commits are delivered.", default="main")
    language: str = key(
        Word("languages", first=True),
        "The language; it decides the toolchain and the default commands.",
        default="python",
        by_type=True,
    )
    setup: Setup = key(Model(Setup), "The toolchain.", default=Setup(), by_type=True)
    working_directory: str = key(
        PATH,
        "The component's folder in a repository of several: where commands run, and where lock and version files are.",
        default="",
        example="services/shop",
    )
    paths: tuple[str, ...] = key(
        ListOf(GLOB),
        "What of the repository is this component's: a push that touches nothing of it starts no pipeline, and a pull "
        "request's build is skipped, which GitHub counts as passed. dpra.yml and .github are always part of it.",
        default=(),
        example="[services/shop/**]",
    )
    env: Mapping[str, str] = key(
        MapOf(ENV_NAME, EXPRESSION),
        "Environment variables of every command, those of your own steps too. GitHub evaluates `${{ }}` in them.",
        default=dict,
        example="{NODE_ENV: test}",
    )
    runs_on: tuple[str, ...] = key(
        ListOf(LABEL, least=1, or_one=True), "The runner of every job.", default=("ubuntu-24.04",)
    )
    jobs: Mapping[str, Job] = key(MapOf("jobs", Model(Job)), "What single jobs get otherwise.", default=dict)
    schedules: tuple[Schedule, ...] = key(
        ListOf(Model(Schedule)), "Times at which the pipeline runs without a push.", default=()
    )
    deploy: Deploy = key(Model(Deploy), "How the component is deployed.", default=Deploy(), by_type=True)
    configuration: Configuration = key(
        Model(Configuration),
        "Flags and operational configuration.",
        default=Configuration(),
        example="{references: [src/**]}",
        by_type=True,
    )
    fleet: Fleet = key(Model(Fleet), "Where the fleet's files lie.", default=Fleet(), by_type=True)
    image: Image = key(
        Model(Image), "The image, and who gets it.", default=Image(), example="{platforms: [linux/amd64]}", by_type=True
    )
    base: Base | None = key(
        Model(Base),
        "The golden image that the component is made on. A machine's is taken with each release; who has an older "
        "one, of machine or container, is told.",
        default=None,
        by_type=True,
    )
    approval: bool = key(
        Flag(),
        "Whether somebody approves what goes to production. Without, a release goes on by itself.",
        default=True,
        example="false",
        by_type=True,
    )
    windows: Windows = key(
        Model(Windows),
        "When a release may go to production.",
        default=Windows(),
        example="{days: [mon, tue, wed, thu]}",
        by_type=True,
    )
    hotfix: Hotfix = key(
        Model(Hotfix), "The hotfix workflow.", default=Hotfix(), example="{skip: [unit-tests]}", by_type=True
    )
    actions: Mapping[str, Action] = key(
        MapOf("actions", Model(Action)), "What to do otherwise than by default, by DPRA action.", default=dict
    )
    waivers: tuple[Waiver, ...] = key(
        ListOf(Model(Waiver)), "Findings that may pass for some time.", default=(), example="[]"
    )
    code_scanning: bool = key(
        Flag(),
        "Upload findings to GitHub's code scanning: the repository is public, or has GitHub Code Security.",
        default=False,
        example="true",
    )
    baseline: str = key(
        PATH,
        "Findings that were there when dpra was adopted, a file that `dpra baseline` makes. They do not fail; new ones "
        "do.",
        default="",
        example=".github/dpra-baseline.json",
    )
    pack: str = key(
        PACK,
        "The pack of actions, published or mirrored, at the commit of a release of dpra: workflows refer to it, "
        "nothing is vendored, and no change of this repository can touch what judges it. Left out: the actions are "
        "vendored.",
        default="",
        example="acme/dpra@0123456789abcdef0123456789abcdef01234567",
    )
    owners: tuple[str, ...] = key(
        ListOf(OWNER),
        "Who must review a change of dpra.yml, the workflows and the vendored actions (CODEOWNERS).",
        default=(),
        example="['@acme/platform']",
    )
    unmanaged: tuple[str, ...] = key(
        ListOf(PATH), "Generated files that dpra leaves to you: it neither writes nor compares them.", default=()
    )
    later = ("artifact bake channels metrics notifications signing survey").split()


def name_of(field_: Any) -> str:
    """The key as it stands in a dpra.yml, of a model's field."""
    return str(field_.name).rstrip("_").replace("_", "-")


def by_type() -> tuple[str, ...]:
    """The keys that only some pipeline types have."""
    found = [name_of(one) for model in (Spec, Environment) for one in fields(model) if one.metadata["by_type"]]
    return tuple(found)
