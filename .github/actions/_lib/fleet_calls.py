"""The steps of a fleet's plan as calls of AWS. Each can be done again: what is there already is taken as done where it
is ours and as the plan wants it, and else the step fails. Accounts are made by fleet_accounts.

Sources: botocore's models of organizations, account and budgets, with their errors, and
https://docs.aws.amazon.com/accounts/latest/reference/API_PutAlternateContact.html
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import aws
import fleet as desired
import fleet_stack_sets as stack_sets
import runner
from fleet import ACCOUNT, COMPONENT, CONTACTS, KINDS, ROOT, Fleet
from fleet_seen import Seen
from fleet_steps import Step
from organisation import LATER, call, home, tags_of

# What AWS says for a while of what it has just made.
NOT_YET = (
    *("TargetNotFoundException", "ParentNotFoundException", "AccountNotFoundException", "PolicyNotFoundException"),
    *("DestinationParentNotFoundException", "ChildNotFoundException", "ResourceNotFoundException"),
)
APPEARS = 120  # seconds after which it does not any more


class Calls:
    """What a plan's steps do to an organisation."""

    def __init__(self, region: str, fleet: Fleet, ids: Mapping[str, str], seen: Seen) -> None:
        """
        Args:
            region: where the stack sets are.
            ids: what AWS calls what is there, as a plan has them.
            seen: the organisation before the first step.
        """
        self.region, self.near, self.fleet, self.seen = region, home(region), fleet, seen
        self.ids = dict(ids)
        self.made: set[str] = set()  # ids of what is new
        self.policies = {policy.name: policy for policy in fleet.policies}
        self.templates = {baseline.name: baseline.template for baseline in fleet.baselines}

    def do(self, step: Step, key: str) -> None:
        """
        Raises:
            runner.Failed: AWS refused it, or what is there is not ours, or not as the plan has it.
        """
        actions: dict[str, Callable[[str, Mapping[str, Any]], None]] = {
            "create-unit": self.create_unit,
            "create-policy": self.create_policy,
            "update-policy": self.update_policy,
            "attach-policy": self.attach_policy,
            "detach-policy": self.detach_policy,
            "delete-policy": self.delete_policy,
            "tag-account": self.tag_account,
            "untag-account": self.untag_account,
            "set-contact": self.set_contact,
            "set-budget": self.set_budget,
            "remove-budget": self.remove_budget,
            "move-account": self.move_account,
        }
        stacks: dict[str, Callable[[str, str, Mapping[str, Any]], None]] = {
            "create-baseline": self.create_baseline,
            "update-baseline": self.update_baseline,
            "target-baseline": self.target_baseline,
            "target-accounts": self.target_accounts,
            "untarget-baseline": self.untarget_baseline,
        }
        if step.action in stacks:
            stacks[step.action](key, step.on, step.details)
        else:
            actions[step.action](step.on, step.details)

    # ---- What things are called

    def id(self, ref: str) -> str:
        """The id of a unit or an account."""
        if ref in self.ids:
            return self.ids[ref]
        if ref == ROOT:
            return self.seen.root
        if not ref.startswith(ACCOUNT):
            found = self.seen.unit_ids.get(ref)
        else:
            name = ref.removeprefix(ACCOUNT)
            wanted = self.fleet.by_name.get(name)
            if wanted is None:
                found = name if name in self.seen.by_id else None
            else:
                there = self.seen.by_email.get(desired.same_email(wanted.email))
                found = wanted.id or (there.id if there else None)
        if not found:
            raise runner.Failed(f"{ref} is not there, and this plan does not make it", "error")
        return found

    def policy(self, kind: str, name: str) -> str:
        if found := self.found(kind, name):
            return found
        raise runner.Failed(f"the {kind} {name} is not there, and this plan does not make it", "error")

    def found(self, kind: str, name: str) -> str:
        """The id of a policy; empty where there is none."""
        label = f"{kind} {name}"
        if known := self.ids.get(f"policy:{label}"):
            return known
        named = self.seen.policies_by_name.get(name, ())
        ours = (one.id for one in named if one.label == label and one.tags.get(COMPONENT) == self.fleet.component)
        return next(ours, "")

    def call(self, operation: str, *, again: bool = True, **parameters: Any) -> dict[str, Any]:
        """A call of Organizations. What it names may be so new that not all of AWS knows it yet."""
        named = {value for value in parameters.values() if isinstance(value, str)}
        if self.made & named:
            try:
                asked = {"later": (*LATER, *NOT_YET), "patience": APPEARS}
                return call(self.near, "organizations", operation, again=again, **asked, **parameters)
            except aws.Refused as refused:
                if refused.code not in LATER:
                    raise
        return call(self.near, "organizations", operation, again=again, **parameters)

    # ---- Units and policies

    def create_unit(self, on: str, says: Mapping[str, Any]) -> None:
        asked = {"ParentId": self.id(says["parent"]), "Name": says["name"]}
        try:
            said = self.call("create-organizational-unit", again=False, **asked, Tags=pairs(says["tags"]))
            found = str(said["OrganizationalUnit"]["Id"])
        except aws.Refused as refused:
            if refused.code != "DuplicateOrganizationalUnitException":
                raise
            there = self.call("list-organizational-units-for-parent", ParentId=asked["ParentId"])
            [found] = [one["Id"] for one in there["OrganizationalUnits"] if one["Name"] == says["name"]]
            self.ours(found, f"the unit {on}")
        self.ids[on] = found
        self.made.add(found)

    def create_policy(self, on: str, says: Mapping[str, Any]) -> None:
        policy, kind = self.content(on, says), KINDS[says["type"]].aws
        about = {"Name": on, "Type": kind, "Description": says["description"], "Content": policy.text}
        try:
            said = self.call("create-policy", again=False, **about, Tags=pairs(says["tags"]))
            found = str(said["Policy"]["PolicySummary"]["Id"])
        except aws.Refused as refused:
            if refused.code != "DuplicatePolicyException":
                raise
            there = self.call("list-policies", Filter=kind)["Policies"]
            ids = [str(one["Id"]) for one in there if one["Name"] == on]
            if not ids:
                raise
            [found] = ids
            self.ours(found, f"the policy {on}")
            self.call("update-policy", PolicyId=found, Description=says["description"], Content=policy.text)
        self.ids[f"policy:{says['type']} {on}"] = found
        self.made.add(found)

    def content(self, on: str, says: Mapping[str, Any]) -> desired.Policy:
        """The policy of the fleet whose content a step is about."""
        policy = self.policies.get(str(says.get("policy", on)))
        if policy is None or desired.same(policy.content) != says["content"]:
            raise runner.Failed(f"the fleet's policy {on} is not the one of the plan", "error")
        return policy

    def update_policy(self, on: str, says: Mapping[str, Any]) -> None:
        about = {"Name": on, "Description": says["description"], "Content": self.content(on, says).text}
        self.call("update-policy", PolicyId=self.policy(says["type"], on), **about)

    def attach_policy(self, on: str, says: Mapping[str, Any]) -> None:
        about = {"PolicyId": self.policy(says["type"], on), "TargetId": self.id(says["target"])}
        self.unless("DuplicatePolicyAttachmentException", "attach-policy", **about)

    def detach_policy(self, on: str, says: Mapping[str, Any]) -> None:
        if found := self.found(says["type"], on):
            about = {"PolicyId": found, "TargetId": self.id(says["target"])}
            self.unless("PolicyNotAttachedException", "detach-policy", **about)

    def delete_policy(self, on: str, says: Mapping[str, Any]) -> None:
        if found := self.found(says["type"], on):
            self.unless("PolicyNotFoundException", "delete-policy", PolicyId=found)

    def unless(self, done: str, operation: str, **parameters: Any) -> None:
        """Call; that it is done already is fine."""
        try:
            self.call(operation, **parameters)
        except aws.Refused as refused:
            if refused.code != done:
                raise

    def ours(self, found: str, what: str) -> None:
        if tags_of(self.near, found).get(COMPONENT) != self.fleet.component:
            raise runner.Failed(f"{what} is there, {found}, and is not dpra's")

    # ---- Accounts

    def described(self, number: str) -> dict[str, Any]:
        """An account as it is now, which may be a moment old."""
        self.made.add(number)
        found: dict[str, Any] = self.call("describe-account", AccountId=number)["Account"]
        return found

    def tag_account(self, on: str, says: Mapping[str, Any]) -> None:
        self.call("tag-resource", ResourceId=self.id(on), Tags=pairs(says["tags"]))

    def untag_account(self, on: str, says: Mapping[str, Any]) -> None:
        self.call("untag-resource", ResourceId=self.id(on), TagKeys=list(says["keys"]))

    def set_contact(self, on: str, says: Mapping[str, Any]) -> None:
        words = {"name": "Name", "title": "Title", "email": "EmailAddress", "phone": "PhoneNumber"}
        about = {word: says[key] for key, word in words.items()}
        number = self.id(on)
        whose = {} if number == self.seen.management else {"AccountId": number}  # its own one it has not to name
        asked = {"later": (*LATER, *NOT_YET), "patience": APPEARS} if number in self.made else {}
        about |= {"AlternateContactType": CONTACTS[says["contact"]], **whose}
        call(self.near, "account", "put-alternate-contact", **asked, **about)

    def budget(self, number: str) -> str:
        return f"dpra-{self.fleet.component}-{number}"

    def set_budget(self, on: str, says: Mapping[str, Any]) -> None:
        """A budget of costs, in the management account."""
        number = self.id(on)
        about = {
            "BudgetName": self.budget(number),
            "BudgetLimit": {"Amount": desired.amount(says["amount"]), "Unit": "USD"},
            "CostFilters": {"LinkedAccount": [number]},
            "TimeUnit": "MONTHLY",
            "BudgetType": "COST",
        }
        whose = {"AccountId": self.seen.management}
        try:
            call(self.near, "budgets", "create-budget", **whose, Budget=about)
        except aws.Refused as refused:
            if refused.code != "DuplicateRecordException":
                raise
            call(self.near, "budgets", "update-budget", **whose, NewBudget=about)

    def remove_budget(self, on: str, says: Mapping[str, Any]) -> None:
        about = {"AccountId": self.seen.management, "BudgetName": self.budget(self.id(on))}
        try:
            call(self.near, "budgets", "delete-budget", **about)
        except aws.Refused as refused:
            if refused.code != "NotFoundException":
                raise

    def move_account(self, on: str, says: Mapping[str, Any]) -> None:
        number, goal = self.id(on), self.id(says["to"])
        about = {"AccountId": number, "SourceParentId": self.id(says["from"]), "DestinationParentId": goal}
        try:
            self.call("move-account", **about)
        except aws.Refused as refused:
            if refused.code not in ("DuplicateAccountException", "SourceParentNotFoundException"):
                raise
            parents = self.call("list-parents", ChildId=number)["Parents"]
            if [one["Id"] for one in parents] != [goal]:
                raise runner.Failed(
                    f"{on} is not in {says['from']} any more, and not in {says['to']}: somebody moved it meanwhile"
                ) from refused

    # ---- Baselines

    def create_baseline(self, key: str, on: str, says: Mapping[str, Any]) -> None:
        stack_sets.create(self.region, key, on, self.templates[says["baseline"]], says)

    def update_baseline(self, key: str, on: str, says: Mapping[str, Any]) -> None:
        """Its template and its settings, and the stacks of this part: those of other parts stay as they are."""
        template = self.templates[says["baseline"]]
        for letter, targets in self.targets(says["targets"]) or [("", None)]:
            stack_sets.update(self.region, key + letter, on, template, says, targets)

    def target_baseline(self, key: str, on: str, says: Mapping[str, Any]) -> None:
        for letter, targets in self.targets(says["add"]):
            stack_sets.deploy(self.region, key + letter, on, targets, says["regions"], says)
        if says["new-regions"]:
            for letter, targets in self.targets(says["there"]):
                stack_sets.deploy(self.region, f"{key}-regions{letter}", on, targets, says["new-regions"], says)

    def target_accounts(self, key: str, on: str, says: Mapping[str, Any]) -> None:
        for letter, targets in self.targets(says["add"]):
            stack_sets.deploy(self.region, key + letter, on, targets, says["regions"], says)

    def untarget_baseline(self, key: str, on: str, says: Mapping[str, Any]) -> None:
        there = self.seen.stack_sets_by_name.get(on)
        kept = [self.id(ref) for ref in says["keeps"]]
        for letter, targets in self.targets(says["remove"], kept):
            stack_sets.remove(self.region, key + letter, on, targets, there.regions if there else (), says)
        if says["old-regions"]:
            for letter, targets in self.targets(says["there"]):
                stack_sets.remove(self.region, f"{key}-regions{letter}", on, targets, says["old-regions"], says)

    def targets(self, refs: Iterable[str], without: list[str] | None = None) -> list[tuple[str, stack_sets.Targets]]:
        """What an operation can be about: units as a whole in one, single accounts in another; with a letter each."""
        units = [self.id(ref) for ref in refs if not ref.startswith(ACCOUNT)]
        accounts = {self.id(ref): self.id(self.unit(ref)) for ref in refs if ref.startswith(ACCOUNT)}
        found = [("-u", stack_sets.whole(units, without or ()))] if units else []
        return found + ([("-a", stack_sets.single(accounts))] if accounts else [])

    def unit(self, ref: str) -> str:
        """Where an account is in the end."""
        name = ref.removeprefix(ACCOUNT)
        if name in self.fleet.by_name:
            return self.fleet.by_name[name].unit
        return self.seen.unit(self.seen.by_id[name])


def pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
