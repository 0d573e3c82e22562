"""An account fleet as its files want it: units, accounts, policies, baselines; and what is wrong with it.

Pure, and JSON on both sides: who has a role reads fleet.json, and never YAML. Every thing knows its file and line.
Sources of the numbers, read on 2026-11-28:
https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html (units, policies, tags),
https://docs.aws.amazon.com/organizations/latest/APIReference/API_CreateAccount.html (e-mail),
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html (StackSets), for dependencies
https://aws.amazon.com/blogs/devops/take-fine-grained-control-of-your-aws-cloudformation-stacksets-deployment-with-stackset-dependencies
and the patterns of botocore's models of organizations, account and cloudformation.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, NamedTuple, Self

ROOT = "root"  # how files and plans call the root of the organisation; all other units go by their path, A/B/C
ACCOUNT = "account:"  # before an account's name, where a unit could stand as well
OURS = "dpra:"  # of a tag: put by dpra
COMPONENT, PROTECTED = "dpra:component", "dpra:deletion-protection"
NEXT = "dpra:next"  # of a policy: it has the content that another one gets in the last part
REMEMBERED, BUDGET = "dpra:contact-", "dpra:budget"  # of an account: what dpra has set, which is not read one by one
SCHEMA = 1


class Kind(NamedTuple):
    """A policy type. None: AWS does not say."""

    aws: str  # PolicyType of Organizations
    attached: int | None = None  # at most, directly, to the root, a unit or an account
    characters: int | None = None  # of a document at most
    policies: int | None = None  # in an organisation at most
    given: int = 0  # of those that are attached, what AWS attaches itself: FullAWSAccess, RCPFullAWSAccess


KINDS = {
    "service-control-policy": Kind("SERVICE_CONTROL_POLICY", 10, 10_240, 10_000, 1),
    "resource-control-policy": Kind("RESOURCE_CONTROL_POLICY", 5, 5_120, 2_000, 1),
    "declarative-policy-ec2": Kind("DECLARATIVE_POLICY_EC2", 10, 10_000, 1_000),
    "tag-policy": Kind("TAG_POLICY", 10, 10_000, 1_000),
    "backup-policy": Kind("BACKUP_POLICY", 10, 10_000, 1_000),
    "ai-opt-out": Kind("AISERVICES_OPT_OUT_POLICY", 5, 2_500, 1_000),
    "chatbot-policy": Kind("CHATBOT_POLICY", 5, 10_000, 1_000),
    "securityhub-policy": Kind("SECURITYHUB_POLICY", 10, 10_000, 1_000),
    "securityhub-cspm-policy": Kind("SECURITYHUB_CSPM_POLICY"),
    "inspector-policy": Kind("INSPECTOR_POLICY"),
    "guardduty-policy": Kind("GUARDDUTY_POLICY"),
    "upgrade-rollout-policy": Kind("UPGRADE_ROLLOUT_POLICY"),
    "bedrock-policy": Kind("BEDROCK_POLICY"),
    "s3-policy": Kind("S3_POLICY"),
    "network-security-director-policy": Kind("NETWORK_SECURITY_DIRECTOR_POLICY"),
}
STAGED = ("service-control-policy", "resource-control-policy")  # they bound rights, and come part by part
WORDS = {kind.aws: word for word, kind in KINDS.items()}
CONTACTS = {"security": "SECURITY", "billing": "BILLING", "operations": "OPERATIONS"}  # AlternateContactType
CONTACT = ("name", "title", "email", "phone")


class Problem(NamedTuple):
    """What is wrong, and where; `line` counts from 1. RULES of fleet_rules say what a rule is."""

    file: str
    line: int
    rule: str
    message: str


@dataclass(frozen=True)
class Unit:
    """An organisational unit; the root is one, too."""

    path: str
    file: str
    line: int
    baselines: tuple[str, ...] = ()  # what its defaults ask for: of all accounts below


@dataclass(frozen=True)
class Account:
    """An account with what it inherits: defaults of its units and its file are in it."""

    name: str
    email: str
    unit: str
    file: str
    line: int
    id: str = ""  # of one that is adopted; twelve digits
    tags: Mapping[str, str] = field(default_factory=dict)
    contacts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # by CONTACTS; of CONTACT
    baselines: tuple[str, ...] = ()
    budget: float | None = None  # US dollars a month
    deletion_protection: bool = False
    lines: Mapping[str, int] = field(default_factory=dict)  # of its keys: email, unit, tags, …

    @property
    def ref(self) -> str:
        return ACCOUNT + self.name

    def place(self, key: str) -> tuple[str, int]:
        return self.file, self.lines.get(key, self.line)


@dataclass(frozen=True)
class Policy:
    name: str
    type: str  # of KINDS
    content: Any  # the document, as JSON has it
    file: str
    line: int
    content_file: str = ""
    attach: tuple[str, ...] = ()
    description: str = ""
    id: str = ""  # of one that is adopted
    lines: Mapping[str, int] = field(default_factory=dict)  # type, and each of attach

    @property
    def text(self) -> str:
        """The document as it is sent: an API's white space counts, so there is none."""
        return compact(self.content)


@dataclass(frozen=True)
class Baseline:
    """A template for a service-managed StackSet."""

    name: str
    template: str  # its text
    file: str
    line: int
    targets: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    concurrency: str = "10%"  # of the accounts, or a number of them
    failure_tolerance: str = "0%"
    auto_deploy: bool = True
    template_file: str = ""
    lines: Mapping[str, int] = field(default_factory=dict)  # each of targets and depends_on


@dataclass(frozen=True)
class Request:
    """A row of a policy test: who does what, and whether the organisation's policies let it."""

    on: str  # a unit's path, or account:NAME
    principal: str
    action: str
    resource: str
    expect: str  # allow or deny
    file: str
    line: int
    conditions: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    attempt: Mapping[str, Any] = field(default_factory=dict)  # `try`: service, operation, parameters of a real call


@dataclass(frozen=True)
class Fleet:
    """What there shall be, everything in order of its name."""

    component: str
    root: str = ""  # its id, where the files say it
    root_place: tuple[str, int] = ("organisation.yml", 1)
    units: tuple[Unit, ...] = ()  # parents first, the root before all
    accounts: tuple[Account, ...] = ()
    policies: tuple[Policy, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    requests: tuple[Request, ...] = ()
    parts: tuple[str, ...] = (ROOT,)  # paths of units in the order in which they are delivered, the root last
    break_glass: tuple[str, ...] = ()  # role/NAME with its path; * stands for anything
    break_glass_place: tuple[str, int] = ("organisation.yml", 1)

    def as_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **_out(self)}

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """The fleet of a fleet.json.

        Raises:
            ValueError: it is none.
        """
        try:
            given = dict(data)
            if given.pop("schema") != SCHEMA:
                raise ValueError("of another schema")
            lists: dict[str, Any] = {"units": Unit, "accounts": Account, "policies": Policy, "baselines": Baseline}
            for name, kind in {**lists, "requests": Request}.items():
                given[name] = tuple(_in(kind, one) for one in given[name])
            found: Self = _in(cls, given)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is no fleet.json: {error}") from None
        return found

    @property
    def text(self) -> str:
        """fleet.json: the same fleet gives the same bytes."""
        return encoded(self.as_json())

    @cached_property
    def by_path(self) -> dict[str, Unit]:
        return {unit.path: unit for unit in self.units}

    @cached_property
    def by_name(self) -> dict[str, Account]:
        return {account.name: account for account in self.accounts}

    def part(self, ref: str) -> str:
        """The part that a unit, or an account of the files, is delivered with: the nearest listed unit at or above."""
        account = self.by_name.get(ref.removeprefix(ACCOUNT)) if ref.startswith(ACCOUNT) else None
        path = account.unit if account else ROOT if ref.startswith(ACCOUNT) else ref
        return next((above for above in line(path) if above in self.parts), self.parts[-1])

    def tags(self, account: Account) -> dict[str, str]:
        """All tags that an account has in the end, dpra's own with them."""
        own = {COMPONENT: self.component} | ({PROTECTED: "true"} if account.deletion_protection else {})
        return dict(sorted({**account.tags, **own, **remembered(account)}.items()))

    @cached_property
    def targets(self) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
        """Of each baseline the units that it goes to, none below another, and the accounts outside of them.

        A unit is a target as the baseline says so, or as the unit's defaults ask for it: then an account that comes
        later has it, too, without a step.
        """
        asked: dict[str, set[str]] = {one.name: set() for one in self.baselines}
        single: dict[str, set[str]] = {one.name: set() for one in self.baselines}
        for baseline in self.baselines:
            for target in baseline.targets:
                (single if target.startswith(ACCOUNT) else asked)[baseline.name].add(target)
        for unit in self.units:
            for name in unit.baselines:
                asked.get(name, set()).add(unit.path)
        for account in self.accounts:
            for name in account.baselines:
                single.get(name, set()).add(account.ref)
        found = {}
        for name, paths in asked.items():
            units = {path for path in paths if not any(above in paths for above in list(line(path))[1:])}
            where = {ref: self.by_name[ref.removeprefix(ACCOUNT)].unit for ref in single[name] & self.refs}
            accounts = {ref for ref, unit in where.items() if not any(above in units for above in line(unit))}
            found[name] = tuple(sorted(units)), tuple(sorted(accounts))
        return found

    @cached_property
    def refs(self) -> set[str]:
        """How everything that can be a target is called."""
        return {*self.by_path, *(account.ref for account in self.accounts)}


def line(path: str) -> Iterator[str]:
    """A unit and what is above it, up to the root."""
    while path != ROOT:
        yield path
        path = parent(path)
    yield ROOT


def parent(path: str) -> str:
    return path.rpartition("/")[0] or ROOT


def remembered(account: Account) -> dict[str, str]:
    """The tags in which is written what contacts and budget dpra has set."""
    found = {REMEMBERED + kind: contact_mark(account.contacts[kind]) for kind in CONTACTS if kind in account.contacts}
    return found if account.budget is None else found | {BUDGET: amount(account.budget)}


def contact_mark(contact: Mapping[str, str]) -> str:
    """Twelve hex digits that stand for a contact."""
    return same(dict(contact)).removeprefix("sha256:")[:12]


def amount(budget: float) -> str:
    return repr(budget).removesuffix(".0")


def same_email(email: str) -> str:
    """AWS takes no address twice, however it is written; one with a plus is another."""
    return email.lower()


def stack_set(component: str, baseline: str) -> str:
    return f"{component}-{baseline}"


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def encoded(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"


def digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def same(value: Any) -> str:
    """The digest of a JSON value, however it is written."""
    return digest(encoded(value))


def counted(number: int, word: str) -> str:
    many = f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
    return f"{number:,} {word if number == 1 else many}"


# ---- To JSON and from it


def _out(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return {one.name.replace("_", "-"): _out(getattr(value, one.name)) for one in fields(value)}
    return [_out(one) for one in value] if isinstance(value, tuple) else value


def _in(kind: Any, data: Mapping[str, Any]) -> Any:
    """A dataclass from its JSON: text is text, and what is a list there is a tuple here."""
    given = {name.replace("-", "_"): value for name, value in data.items()}
    for one in fields(kind):
        value = given.get(one.name)
        if one.type is str and not isinstance(value, str) and one.name in given:
            raise TypeError(f"{one.name} is no text")
        if isinstance(value, list) and "tuple" in str(one.type):
            given[one.name] = tuple(value)
    return kind(**given)


def ordered(problems: Iterable[Problem]) -> list[Problem]:
    """Each once, by place."""
    return sorted(set(problems))
