"""EC2: AMIs that are shared, deprecated and protected, with their files, see `roots`.

Each function replaces the one of moto that its docstring begins with, or adds it."""

# mypy: disable-error-code="assignment, attr-defined, method-assign"
import datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError, InvalidAMIIdError
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.amis import Ami, AmiBackend
from moto.ec2.responses.amis import AmisResponse
from moto.ec2.utils import convert_tag_spec, random_ami_id
from moto.organizations.models import organizations_backends

from .. import roots
from .protocol import now

COOLDOWN = 24 * 3600  # seconds that an AMI stays protected, where that was asked for
STORAGE = "You do not have permission to access the storage of this ami"
SIZE = 15  # GiB of an AMI of moto's
YEARS = 10  # within which an AMI may be deprecated

_create_image = AmiBackend.create_image
_deregister_image = AmiBackend.deregister_image
_describe_images = AmiBackend.describe_images
_copy_image = AmiBackend.copy_image
_modify_image_attribute = AmiBackend.modify_image_attribute
_block_device_mappings = Ami.block_device_mappings.fget


# ---- AMIs


def shared(account: str, region: str) -> dict[str, Ami]:
    """The AMIs of other accounts of a rehearsal that this account may use."""
    found = {}
    for other, regions in list(ec2_backends.items()):
        if other == account or region not in regions.keys():  # noqa: SIM118 - it is also "in" where it is not made yet
            continue
        for ami in regions[region].amis.values():
            if ami.owner_id == other and any(admits(permission, account) for permission in ami.launch_permissions):
                found[ami.id] = ami
    return found


def admits(permission: dict[str, str], account: str) -> bool:
    if wanted := permission.get("OrganizationArn"):
        return any(
            one.org is not None and one.org.arn == wanted and account in {member.id for member in one.accounts}
            for partitions in list(organizations_backends.values())
            for one in list(partitions.values())
        )
    return permission.get("Group") == "all" or permission.get("UserId") == account


def visible(account: str, region: str, image: str) -> Any:
    """An AMI that an account may use in a region; None where there is none."""
    own = ec2_backends[account][region].amis.get(image)
    return own or shared(account, region).get(image)


def describe_images(
    self: AmiBackend,
    ami_ids: list[str] | None = None,
    filters: dict[str, Any] | None = None,
    exec_users: list[str] | None = None,
    owners: list[str] | None = None,
) -> list[Ami]:
    """AmiBackend.describe_images: and those that others share with the account."""
    own = self.amis
    try:
        self.amis = {**shared(self.account_id, self.region_name), **own}
        return _describe_images(self, ami_ids, filters, exec_users, owners)
    finally:
        self.amis = own


def block_device_mappings(self: Ami) -> list[dict[str, Any]]:
    """Ami.block_device_mappings: whether it is encrypted, and how large it is."""
    [root] = _block_device_mappings(self)
    ebs = {"Encrypted": bool(self.ebs_snapshot.encrypted), "VolumeSize": getattr(self, "dpra_size", SIZE)}
    return [{**root, "Ebs": {**root["Ebs"], **ebs}}]


def sized(ami: Ami, encrypted: bool, size: int) -> None:
    """Say how large an AMI's snapshot is, in GiB, and whether it is encrypted."""
    ami.ebs_snapshot.encrypted, ami.dpra_size = encrypted, size


def register(ec2: EC2Backend, name: str, description: str, source: Ami | None, **more: Any) -> Ami:
    """An AMI of one's own."""
    if any(other.name == name and other.owner_id == ec2.account_id for other in ec2.amis.values()):
        raise EC2ClientError("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by an AMI of the account")
    made = Ami(ec2, random_ami_id(), source_ami=source, name=name, description=description, **more)
    made.hypervisor, made.root_device_type, made.root_device_name = "xen", "ebs", "/dev/xvda"
    made.virtualization_type = made.virtualization_type or "hvm"
    made.architecture = made.architecture or "x86_64"
    ec2.amis[made.id] = made
    return made


def mark(ami: Ami, image: str, tags: dict[str, str]) -> None:
    """Tag an AMI as Image Builder does it; its snapshot gets Image Builder's own, and not those that are asked for.

    Source: what AWSServiceRoleForImageBuilder may do with snapshots that have CreatedBy

    Args:
        image: the ARN of Image Builder's."""
    own = {"CreatedBy": "EC2 Image Builder", "Ec2ImageBuilderArn": image}
    ami.add_tags({**own, **tags})
    ami.ebs_snapshot.add_tags(own)


def copied(ec2: EC2Backend, source: Ami, region: str, name: str, description: str) -> Ami:
    """An AMI's copy, with its files, in an account and region."""
    made = register(ec2, name, description, source)
    return from_source(made, source, region)


def from_source(made: Ami, source: Ami, region: str) -> Ami:
    made.source_image_id, made.source_image_region = source.id, region
    sized(made, source.ebs_snapshot.encrypted, getattr(source, "dpra_size", SIZE))
    if source.id in roots.KEPT:
        roots.KEPT[made.id] = roots.KEPT[source.id]
    return made


def copy_image(
    self: AmiBackend,
    source_image_id: str,
    source_region: str,
    name: str | None = None,
    description: str | None = None,
) -> Ami:
    """AmiBackend.copy_image: with its files, if its storage may be read."""
    source = visible(self.account_id, source_region, source_image_id)
    if source and not readable(source, self.account_id):
        raise EC2ClientError("InvalidRequest", STORAGE)
    made = _copy_image(self, source_image_id, source_region, name, description)
    return from_source(made, source, source_region)


def readable(ami: Ami, account: str) -> bool:
    """Whether an account that may use an AMI may read its storage, too, as copies need it; of AWS's own it may."""
    return account in (ami.owner_id, ami.ec2_backend.account_id) or lent(ami.ebs_snapshot, account)


def lent(snapshot: Any, account: str) -> bool:
    """Whether the owner of a snapshot lets an account use it."""
    return account in snapshot.create_volume_permission_userids or "all" in snapshot.create_volume_permission_groups


def create_image(self: AmiBackend, instance_id: str, *arguments: Any, **more: Any) -> Ami:
    """AmiBackend.create_image: with the files of an instance that runs or is stopped, and its volume's size."""
    instance, name = self.get_instance(instance_id), arguments[0] if arguments else more["name"]
    if instance.state not in ("running", "stopped"):
        message = f"Instance {instance_id} is {instance.state}: it must be running or stopped"
        raise EC2ClientError("IncorrectInstanceState", message)
    if any(other.name == name and other.owner_id == self.account_id for other in self.amis.values()):
        raise EC2ClientError("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by an AMI of the account")
    asked = more.get("tag_specifications") or []
    more["tag_specifications"] = [one for one in asked if one["ResourceType"] != "snapshot"]
    made = _create_image(self, instance_id, *arguments, **more)
    made.source_image_id, made.source_image_region = instance.image_id, self.region_name
    made.ebs_snapshot.add_tags(convert_tag_spec(asked).get("snapshot", {}))
    for device, block in instance.get_block_device_mapping:
        if device == instance.root_device_name:
            volume = self.volumes[block.volume_id]
            sized(made, bool(volume.encrypted), int(volume.size))
    if instance_id in roots.MACHINES:
        roots.KEPT[made.id] = roots.copy(roots.of_instance(instance_id, instance.image_id))
    return made


def owned(self: AmiBackend, ami_id: str) -> Ami:
    if ami_id not in self.amis:
        if visible(self.account_id, self.region_name, ami_id):
            raise EC2ClientError("AuthFailure", f"Not authorized for image:{ami_id}")
        raise InvalidAMIIdError(ami_id)
    return self.amis[ami_id]


def modify_image_attribute(self: AmiBackend, ami_id: str, *arguments: Any, **more: Any) -> None:
    """AmiBackend.modify_image_attribute: of one's own."""
    owned(self, ami_id)
    _modify_image_attribute(self, ami_id, *arguments, **more)


def deregister_image(self: AmiBackend, ami_id: str) -> None:
    """AmiBackend.deregister_image: not of another account's, not while it is protected."""
    if ami_id not in self.deleted_amis:
        ami = owned(self, ami_id)
        if getattr(ami, "deregistration_protection", "disabled") != "disabled" or now() < getattr(ami, "dpra_until", 0):
            message = f"You can't deregister the AMI {ami_id}: deregistration protection is enabled"
            raise EC2ClientError("OperationNotPermitted", message)
    _deregister_image(self, ami_id)


def deregister(self: AmisResponse) -> ActionResult:
    """AmisResponse.deregister_image: with its snapshots, where that is asked for."""
    self.error_on_dryrun()
    name = self._get_param("ImageId")
    ami, deleted = self.ec2_backend.amis.get(name), []
    self.ec2_backend.deregister_image(name)
    if ami is not None and self._get_param("DeleteAssociatedSnapshots", False):
        self.ec2_backend.delete_snapshot(ami.ebs_snapshot.id)
        deleted = [{"SnapshotId": ami.ebs_snapshot.id, "ReturnCode": "success"}]
    return ActionResult({"Return": True, "DeleteSnapshotResults": deleted})


def enable_image_deprecation(self: AmisResponse) -> ActionResult:
    """AmisResponse.enable_image_deprecation: at a moment to come, to the minute."""
    self.error_on_dryrun()
    ami, moment = owned(self.ec2_backend, self._get_param("ImageId")), self._get_param("DeprecateAt")
    if isinstance(moment, str):
        moment = datetime.datetime.fromisoformat(moment)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    ahead = moment - datetime.datetime.fromtimestamp(now(), datetime.UTC)
    if not datetime.timedelta() < ahead <= datetime.timedelta(days=366 * YEARS):
        raise EC2ClientError("InvalidParameterValue", f"DeprecateAt is {moment}: must be within {YEARS} years from now")
    rounded = (moment + datetime.timedelta(seconds=30)).replace(second=0, microsecond=0)
    ami.deprecation_time = f"{rounded:%Y-%m-%dT%H:%M:%S}.000Z"
    return ActionResult({"Return": True})


def disable_image_deprecation(self: AmisResponse) -> ActionResult:
    """AmisResponse.disable_image_deprecation."""
    self.error_on_dryrun()
    owned(self.ec2_backend, self._get_param("ImageId")).deprecation_time = None
    return ActionResult({"Return": True})


def enable_image_deregistration_protection(self: AmisResponse) -> ActionResult:
    """AmisResponse.enable_image_deregistration_protection."""
    self.error_on_dryrun()
    ami, cooldown = owned(self.ec2_backend, self._get_param("ImageId")), self._get_param("WithCooldown", False)
    ami.deregistration_protection = "enabled-with-cooldown" if cooldown else "enabled-without-cooldown"
    return ActionResult({"Return": "true"})


def disable_image_deregistration_protection(self: AmisResponse) -> ActionResult:
    """AmisResponse.disable_image_deregistration_protection: at once, or in a day."""
    self.error_on_dryrun()
    ami = owned(self.ec2_backend, self._get_param("ImageId"))
    if getattr(ami, "deregistration_protection", "disabled") == "enabled-with-cooldown":
        ami.dpra_until = now() + COOLDOWN
    ami.deregistration_protection = "disabled"
    return ActionResult({"Return": "true"})


def mend() -> None:
    """Put them in place."""
    AmiBackend.describe_images = describe_images
    AmiBackend.copy_image = copy_image
    AmiBackend.create_image = create_image
    AmiBackend.modify_image_attribute = modify_image_attribute
    AmiBackend.deregister_image = deregister_image
    Ami.block_device_mappings = property(block_device_mappings)
    AmisResponse.deregister_image = deregister
    AmisResponse.enable_image_deprecation = enable_image_deprecation
    AmisResponse.disable_image_deprecation = disable_image_deprecation
    AmisResponse.enable_image_deregistration_protection = enable_image_deregistration_protection
    AmisResponse.disable_image_deregistration_protection = disable_image_deregistration_protection
