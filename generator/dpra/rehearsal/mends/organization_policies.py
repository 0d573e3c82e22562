"""Organizations: policies of all types, and to what they are attached. moto has some types, and attaches anything to
anything.

Sources: the texts of botocore's model of its errors; the pack's `fleet` has the numbers, and says whence."""

# mypy: disable-error-code="assignment, method-assign"
import json
from collections.abc import Iterable
from typing import Any

from moto.organizations.models import FakePolicy, OrganizationsBackend
from moto.organizations.utils import DEFAULT_RCP_POLICY_ID, DEFAULT_SCP_POLICY_ID

from dpra import resources
from dpra.names import arn

from .organizations import Said, above, beyond_limit, check_tags, invalid, page, parent, refuse, serves, target_of
from .protocol import now

_fleet, _policies = resources.lib("fleet"), resources.lib("policies")

KINDS = {kind.aws: kind for kind in _fleet.KINDS.values()}  # what AWS takes of a type
# What AWS attaches to everything as long as the type is enabled.
GIVEN = {"SERVICE_CONTROL_POLICY": DEFAULT_SCP_POLICY_ID, "RESOURCE_CONTROL_POLICY": DEFAULT_RCP_POLICY_ID}
JUDGED = {"SERVICE_CONTROL_POLICY": "scp", "RESOURCE_CONTROL_POLICY": "rcp"}  # type -> the evaluator's kind
OPERATORS = ("@@assign", "@@append", "@@remove")

_start_policy = FakePolicy.__init__


def start_policy(self: FakePolicy, organization: Any, **asked: Any) -> None:
    """FakePolicy.__init__: of every type."""
    _start_policy(self, organization, **{**asked, "Type": "TAG_POLICY"})
    self.type = asked["Type"]


def policy_arn(self: FakePolicy) -> str:
    """FakePolicy.arn: with the type; AWS's own are of no organisation."""
    if self.aws_managed:
        return f"arn:aws:organizations::aws:policy/{self.type.lower()}/{self.id}"
    name = f"policy/{self.organization_id}/{self.type.lower()}/{self.id}"
    return arn(self.region, "organizations", self.master_account_id, name, everywhere=True)


# ---- Types


def enabled(backend: OrganizationsBackend, kind: str) -> bool:
    root = next(unit for unit in backend.ou if unit.type == "ROOT")
    return any(one["Type"] == kind for one in root.policy_types)  # type: ignore[attr-defined]


def given(backend: OrganizationsBackend, targets: Iterable[Any]) -> None:
    """Attach what AWS attaches itself."""
    for kind, number in GIVEN.items():
        if enabled(backend, kind):
            for target in targets:
                tie(policy_of(backend, number), target)


def tie(policy: FakePolicy, target: Any) -> None:
    if policy not in target.attached_policies:
        target.attached_policies.append(policy)
        policy.attachments.append(target)


def untie(policy: FakePolicy, target: Any) -> None:
    target.attached_policies.remove(policy)
    policy.attachments.remove(target)


@serves
def enable_policy_type(backend: OrganizationsBackend, asked: Said) -> Said:
    root, kind = parent(backend, asked["RootId"], "RootNotFoundException"), asked["PolicyType"]
    if enabled(backend, kind):
        refuse("PolicyTypeAlreadyEnabledException", "The specified policy type is already enabled.")
    root.policy_types.append({"Type": kind, "Status": "ENABLED"})
    if kind in GIVEN:
        for target in (*backend.ou, *backend.accounts):
            tie(policy_of(backend, GIVEN[kind]), target)
    return {"Root": root.describe()}


@serves
def disable_policy_type(backend: OrganizationsBackend, asked: Said) -> Said:
    """All policies of the type are detached, and those that AWS does not attach stay so when it is enabled again."""
    root, kind = parent(backend, asked["RootId"], "RootNotFoundException"), asked["PolicyType"]
    if not enabled(backend, kind):
        refuse("PolicyTypeNotEnabledException", "The specified policy type isn't enabled.")
    root.policy_types.remove({"Type": kind, "Status": "ENABLED"})
    for policy in backend.policies:
        if policy.type == kind:
            for target in list(policy.attachments):
                untie(policy, target)
    return {"Root": root.describe()}


# ---- Policies


def policy_of(backend: OrganizationsBackend, number: str) -> FakePolicy:
    for policy in backend.policies:
        if policy.id == number:
            return policy
    refuse("PolicyNotFoundException", "We can't find a policy with the PolicyId that you specified.")


def own(backend: OrganizationsBackend, number: str) -> FakePolicy:
    """A policy that may be changed."""
    policy = policy_of(backend, number)
    if policy.aws_managed:
        invalid("You specified a policy that is managed by AWS and can't be modified.", "IMMUTABLE_POLICY")
    return policy


def check_content(kind: str, content: str) -> None:
    """Refuse a document that AWS refuses. Of most types only that it is an object of JSON is looked at."""
    most = KINDS[kind].characters
    if most and len(content) > most:
        beyond_limit(f"The policy has {len(content)} characters: at most {most}.", "POLICY_CONTENT_LIMIT_EXCEEDED")
    try:
        document = json.loads(content)
        if not isinstance(document, dict):
            raise ValueError("it is no object")
        if kind in JUDGED:
            _policies.Policy("the policy", document, JUDGED[kind])
    except ValueError as why:  # Malformed is one, too
        refuse("MalformedPolicyDocumentException", f"The provided policy document does not meet its type: {why}")


def check_name(backend: OrganizationsBackend, name: str, but: FakePolicy | None = None) -> None:
    if any(policy.name == name for policy in backend.policies if policy is not but):
        refuse("DuplicatePolicyException", "A policy with the same name already exists.")


@serves
def create_policy(backend: OrganizationsBackend, asked: Said) -> Said:
    kind = asked["Type"]
    check_tags(asked.get("Tags", ()))
    check_name(backend, asked["Name"])
    check_content(kind, asked["Content"])
    most = KINDS[kind].policies
    if most and sum(policy.type == kind and not policy.aws_managed for policy in backend.policies) >= most:
        beyond_limit(f"There are at most {most} policies of a type.", "POLICY_NUMBER_LIMIT_EXCEEDED")
    made = FakePolicy(backend.org, **asked)  # type: ignore[arg-type]
    backend.policies.append(made)
    return made.describe()


@serves
def update_policy(backend: OrganizationsBackend, asked: Said) -> Said:
    policy = own(backend, asked["PolicyId"])
    if "Name" in asked:
        check_name(backend, asked["Name"], policy)
    if "Content" in asked:
        check_content(policy.type, asked["Content"])
    policy.name = asked.get("Name", policy.name)
    policy.description = asked.get("Description", policy.description)
    policy.content = asked.get("Content", policy.content)
    return policy.describe()


@serves
def delete_policy(backend: OrganizationsBackend, asked: Said) -> None:
    policy = own(backend, asked["PolicyId"])
    if policy.attachments:
        refuse("PolicyInUseException", "The policy is attached: detach it from all roots, OUs and accounts.")
    backend.policies.remove(policy)


@serves
def describe_policy(backend: OrganizationsBackend, asked: Said) -> Said:
    return policy_of(backend, asked["PolicyId"]).describe()


@serves
def list_policies(backend: OrganizationsBackend, asked: Said) -> Said:
    found = [policy for policy in backend.policies if policy.type == asked["Filter"]]
    return page([summary(policy) for policy in found], asked, "Policies")


def summary(policy: FakePolicy) -> Said:
    found: Said = policy.describe()["Policy"]["PolicySummary"]
    return found


# ---- What they are attached to


@serves
def attach_policy(backend: OrganizationsBackend, asked: Said) -> None:
    policy, target = policy_of(backend, asked["PolicyId"]), target_of(backend, asked["TargetId"])
    if not enabled(backend, policy.type):
        refuse("PolicyTypeNotEnabledException", "The specified policy type isn't enabled in the root.")
    if policy in target.attached_policies:
        refuse("DuplicatePolicyAttachmentException", "The policy is already attached to the specified target.")
    most = KINDS[policy.type].attached
    if most and sum(one.type == policy.type for one in target.attached_policies) >= most:
        message = f"At most {most} policies of the type are attached to a target."
        beyond_limit(message, "MAX_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED")
    tie(policy, target)


@serves
def detach_policy(backend: OrganizationsBackend, asked: Said) -> None:
    policy, target = policy_of(backend, asked["PolicyId"]), target_of(backend, asked["TargetId"])
    if policy not in target.attached_policies:
        refuse("PolicyNotAttachedException", "The policy isn't attached to the specified target.")
    if policy.id == DEFAULT_RCP_POLICY_ID:
        invalid("You can't detach this AWS managed policy.", "NON_DETACHABLE_POLICY")
    scps = [one for one in target.attached_policies if one.type == "SERVICE_CONTROL_POLICY"]
    if scps == [policy]:
        message = "You cannot remove the last policy attached to the specified target."
        beyond_limit(message, "MIN_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED")
    untie(policy, target)


@serves
def list_policies_for_target(backend: OrganizationsBackend, asked: Said) -> Said:
    found = [one for one in target_of(backend, asked["TargetId"]).attached_policies if one.type == asked["Filter"]]
    return page([summary(policy) for policy in found], asked, "Policies")


@serves
def list_targets_for_policy(backend: OrganizationsBackend, asked: Said) -> Said:
    found = policy_of(backend, asked["PolicyId"]).attachments
    return page(
        [{"TargetId": one.id, "Arn": one.arn, "Name": one.name, "Type": one.type} for one in found], asked, "Targets"
    )


@serves
def describe_effective_policy(backend: OrganizationsBackend, asked: Said) -> Said:
    """What the policies of a type say together, the root's first. Not looked at: which operators they leave to those
    that come after them."""
    target, kind = target_of(backend, asked.get("TargetId", backend.account_id)), asked["PolicyType"]
    found = [policy for level in above(backend, target) for policy in level.attached_policies if policy.type == kind]
    if not found:
        refuse("EffectivePolicyNotFoundException", "The target has no effective policy of this type.")
    merged: Any = None
    for policy in found:
        merged = joined(merged, json.loads(policy.content or "{}"))
    said = {"PolicyContent": json.dumps(merged), "LastUpdatedTimestamp": now()}
    return {"EffectivePolicy": {**said, "TargetId": target.id, "PolicyType": kind}}


def joined(before: Any, said: Any) -> Any:
    """What a policy makes of what those before it say."""
    if not isinstance(said, dict):
        return said
    if any(name in said for name in OPERATORS):
        if "@@assign" in said:
            return said["@@assign"]
        kept = [one for one in before or [] if one not in said.get("@@remove", ())]
        return kept + [one for one in said.get("@@append", ()) if one not in kept]
    found = dict(before) if isinstance(before, dict) else {}
    for name, value in said.items():
        if not name.startswith("@@"):
            found[name] = joined(found.get(name), value)
    return found


def mend() -> None:
    """Put them in place; the operations are put there with those of `organizations`."""
    FakePolicy.__init__ = start_policy
    FakePolicy.arn = property(policy_arn)
