"""Where an AMI goes when it is made: accounts and regions, launch permissions, and parameters that name it.

Source: https://docs.aws.amazon.com/imagebuilder/latest/userguide/cross-account-dist.html"""

import re
from collections.abc import Mapping
from typing import Any

from moto.core.exceptions import ServiceException
from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends
from moto.ssm.models import ssm_backends

from dpra.names import arn, partition

from ... import permissions
from .. import machines
from ..protocol import Said, at, now
from .api import invalid
from .building import Unbuilt

ACROSS = "EC2ImageBuilderDistributionCrossAccountRole"  # the role of a target account
SERVICE = "AWSServiceRoleForImageBuilder"
REFUSING: set[tuple[str, str]] = set()  # account and region that take no copy, once: a fault of the rehearsal
QUOTA = "The current quota for AMIs has been reached in this region."
DYNAMIC = re.compile(r"\{\{\s*imagebuilder:(buildDate|buildVersion)\s*\}\}")


def role(store: Any, named: str) -> str:
    """The ARN of a role that is given by its name or ARN; empty where none is given."""
    if not named:
        return ""
    for one in iam_backends[store.account_id][partition(store.region_name)].get_roles():
        if named in (one.arn, one.name):
            if "imagebuilder.amazonaws.com" not in str(one.assume_role_policy_document):
                raise invalid("executionRole", f"{one.arn} does not let imagebuilder.amazonaws.com assume it")
            return str(one.arn)
    raise invalid("executionRole", f"there is no role {named}")


def distribute(store: Any, image: Any) -> list[Said]:
    """Copy, share and tag an image's AMI; one of this account and region stays the one that it is."""
    here = (store.account_id, store.region_name)
    amis: dict[tuple[str, str], Said] = {}
    source = machines.visible(*here, image.built)
    if source is None:
        raise lost(store, here[1], here[0], f"The image id '[{image.built}]' does not exist")
    for one in image.distributions:
        said = one.get("amiDistributionConfiguration", {})
        for account in said.get("targetAccountIds", [store.account_id]):
            place = (account, one["region"])
            ami = placed(store, image, source, place, said)
            machines.mark(ami, image.arn, said.get("amiTags", {}))
            share(ami, said.get("launchPermission", {}))
            amis[place] = output(ami, place)
    if source.owner_id == store.account_id:
        amis.setdefault(here, output(source, here))
    return list(amis.values())


def output(ami: Any, place: tuple[str, str]) -> Said:
    account, region = place
    more = {"description": ami.description} if ami.description else {}
    return {"region": region, "image": ami.id, "name": ami.name, "accountId": account, **more}


def placed(store: Any, image: Any, source: Any, place: tuple[str, str], said: Mapping[str, Any]) -> Any:
    """The AMI that is in an account and region: the source itself, or a copy."""
    account, region = place
    name, description = named(image, said.get("name", "")), said.get("description")
    if place == (store.account_id, store.region_name) and source.owner_id == account:
        if image.built != image.parent:  # it is made in this run: it gets its name now
            source.name, source.description = name or source.name, description or source.description
        return source
    if not machines.readable(source, store.account_id):
        raise lost(store, region, account, machines.STORAGE)
    if account != store.account_id and not admitted(store, account):
        raise lost(store, region, account, f"{ACROSS} of {account} cannot be assumed by {store.account_id}")
    if place in REFUSING:
        REFUSING.remove(place)
        raise lost(store, region, account, QUOTA)
    target = ec2_backends[account][region]
    made = machines.copied(target, source, store.region_name, name or source.name, description or "")
    made.ebs_snapshot.encrypted = made.ebs_snapshot.encrypted or "kmsKeyId" in said
    return made


def named(image: Any, name: str) -> str:
    """An AMI's name, whose dynamic parts are filled."""
    values = {
        "buildDate": at(now()).partition("+")[0].replace(":", "-") + "Z",
        "buildVersion": str(image.said["version"]).rpartition("/")[2],
    }
    return DYNAMIC.sub(lambda found: values[found[1]], name)


def admitted(store: Any, account: str) -> bool:
    """Has a target account the role that lets this account distribute?"""
    for one in iam_backends[account][partition(store.region_name)].get_roles():
        if one.name == ACROSS:
            return store.account_id in str(one.assume_role_policy_document)
    return False


def share(ami: Any, said: Mapping[str, Any]) -> None:
    kinds = {
        "userIds": "UserId",
        "userGroups": "Group",
        "organizationArns": "OrganizationArn",
        "organizationalUnitArns": "OrganizationalUnitArn",
    }
    wanted = [{kind: value} for key, kind in kinds.items() for value in said.get(key, ())]
    ami.launch_permissions += [one for one in wanted if one not in ami.launch_permissions]


# ---- Parameters


def integrate(store: Any, image: Any) -> None:
    """Put the parameters that name the AMIs."""
    amis = {(ami["accountId"], ami["region"]): ami["image"] for ami in image.amis}
    for one in image.distributions:
        for parameter in one.get("ssmParameterConfigurations", ()):
            account = parameter.get("amiAccountId", store.account_id)
            name, region = parameter["parameterName"], one["region"]
            if (ami := amis.get((account, region))) is None:
                raise lost(store, region, account, f"{account} has no AMI in {region}", "PUT_SSM_PARAMETERS")
            if why := refused(store, image, account, region, name):
                raise lost(store, region, account, why, "PUT_SSM_PARAMETERS")
            try:
                ssm_backends[account][region].put_parameter(
                    name=name, description="", value=ami, parameter_type="String", allowed_pattern="", keyid="",
                    overwrite=True, tags=[], data_type=parameter.get("dataType", "text"), tier=None, policies=None,
                )  # fmt: skip
            except ServiceException as error:
                raise lost(store, region, account, str(error.message), "PUT_SSM_PARAMETERS") from error


def refused(store: Any, image: Any, account: str, region: str, name: str) -> str:
    """Why the role that distributes may not put a parameter; empty where it may. The service's own role may do so below
    /imagebuilder/ only."""
    target = arn(region, "ssm", account, f"parameter/{name.removeprefix('/')}")
    if account != store.account_id:
        return ""  # the target account's role does it, of which AWS's policy says nothing here
    if image.role:
        acting = iam_backends[account][partition(store.region_name)].get_role_by_arn(image.role)
        why, by = permissions.refusal(acting, "ssm:PutParameter", target, {}), image.role
    else:
        meant = target.replace(f"arn:{partition(region)}:", "arn:aws:")  # moto has AWS's policies of that partition
        allowed = permissions.allows([permissions.managed()[SERVICE]], "ssm:PutParameter", meant, {})
        why, by = "" if allowed else "no identity-based policy allows it", SERVICE
    return (
        f"{by} is not authorized to perform: ssm:PutParameter on resource: {target} {permissions.because(why)}"
        if why
        else ""
    )


def lost(store: Any, region: str, account: str, why: str, step: str = "") -> Unbuilt:
    """A distribution that failed."""
    failure = {"region": region, "status": "FAILED", "errorMessage": why, "targetAccountId": account}
    if step:
        failure["imageConfigurationStep"] = step
    said = {"errorMessage": why, "regionFailures": [failure]}
    return Unbuilt(f"Distribution failed with reasons: [{why}]", distributionFailure=said)
