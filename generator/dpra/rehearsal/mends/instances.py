"""EC2: instances that are started by a launch template, with the volumes of their AMI and others; who may use which
snapshot.

Each function replaces the one of moto that its docstring begins with, or adds it."""

# mypy: disable-error-code="assignment, attr-defined, method-assign"
import datetime
from collections.abc import Mapping
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.exceptions import EC2ClientError, InvalidAMIIdError, InvalidSnapshotIdError
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.elastic_block_store import EBSBackend, Snapshot
from moto.ec2.models.instances import Instance, StateReason
from moto.ec2.responses.elastic_block_store import ElasticBlockStore
from moto.ec2.utils import convert_tag_spec
from moto.ssm.models import ssm_backends

from .. import roots
from . import machines
from .protocol import now

BY_PARAMETER = "resolve:ssm:"
# What a template says, if the request does not -> run_instances' word for it.
OF_TEMPLATE = {
    "InstanceInitiatedShutdownBehavior": "instance_initiated_shutdown_behavior",
    "MetadataOptions": "metadata_options",
    "NetworkInterfaces": "nics",
    "EbsOptimized": "ebs_optimized",
}

_run_instances = EC2Backend.run_instances
_terminate = Instance.terminate
_create_volume = EBSBackend.create_volume
_modify_snapshot_attribute = ElasticBlockStore.modify_snapshot_attribute


# ---- Snapshots


def snapshot(account: str, region: str, name: str) -> Snapshot | None:
    """A snapshot that an account may use in a region; None where there is none."""
    if own := ec2_backends[account][region].snapshots.get(name):
        return own
    for other, regions in list(ec2_backends.items()):
        if other != account and region in regions.keys():  # noqa: SIM118 - it is also "in" where it is not made yet
            found = regions[region].snapshots.get(name)
            if found and machines.lent(found, account):
                return found
    return None


def modify_snapshot_attribute(self: ElasticBlockStore) -> ActionResult | EmptyResult:
    """ElasticBlockStore.modify_snapshot_attribute: in the other words, too."""
    said = self._get_param("CreateVolumePermission")
    if not said:
        return _modify_snapshot_attribute(self)
    self.error_on_dryrun()
    for key, change in (
        ("Add", self.ec2_backend.add_create_volume_permission),
        ("Remove", self.ec2_backend.remove_create_volume_permission),
    ):
        users = [one["UserId"] for one in said.get(key) or () if one.get("UserId")]
        groups = [one["Group"] for one in said.get(key) or () if one.get("Group")]
        change(self._get_param("SnapshotId"), user_ids=users, groups=groups)
    return EmptyResult()


def create_volume(self: EBSBackend, size: int, zone_name: str, snapshot_id: str | None = None, **more: Any) -> Any:
    """EBSBackend.create_volume: of a snapshot that is lent, too."""
    if not snapshot_id or snapshot_id in self.snapshots:
        return _create_volume(self, size, zone_name, snapshot_id, **more)
    if (found := snapshot(self.account_id, self.region_name, snapshot_id)) is None:
        raise InvalidSnapshotIdError
    made = _create_volume(self, size or found.volume.size, zone_name, **more)
    made.snapshot_id, made.encrypted = snapshot_id, made.encrypted or found.encrypted
    return made


# ---- Instances


def run_instances(self: EC2Backend, image_id: str, *arguments: Any, **more: Any) -> Any:
    """EC2Backend.run_instances: of an AMI that is there, or that a parameter names, with its volume, and all else that
    the launch template says."""
    template = template_of(self, more.get("launch_template"))
    image_id = resolved(self, image_id or template.get("ImageId", ""))
    for said, word in OF_TEMPLATE.items():
        if said in template and not more.get(word):
            more[word] = template[said]
    tags = convert_tag_spec(template.get("TagSpecifications") or [])
    if volume := tags.get("volume"):
        more["tags"] = {**more.get("tags", {}), "volume": {**volume, **more.get("tags", {}).get("volume", {})}}
    more["block_device_mappings"] = mappings(self, image_id, template, more.get("block_device_mappings") or [])
    reservation = _run_instances(self, image_id, *arguments, **more)
    for instance in reservation.instances:  # its key stays there when the key pair is deleted
        instance.dpra_key = self.key_pairs[instance.key_name].public_key if instance.key_name else ""
    profile = template.get("IamInstanceProfile") or {}
    if profile and not (more.get("iam_instance_profile_name") or more.get("iam_instance_profile_arn")):
        for instance in reservation.instances:
            self.associate_iam_instance_profile(instance.id, profile.get("Name"), profile.get("Arn"))
    return reservation


def template_of(self: EC2Backend, asked: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a launch template says; nothing where none is asked for."""
    return dict(self._get_template_from_args(dict(asked)).data) if asked else {}


def resolved(self: EC2Backend, image: str) -> str:
    """The id of an AMI that is there and available."""
    if image.startswith(BY_PARAMETER):
        named = image.removeprefix(BY_PARAMETER)
        found = ssm_backends[self.account_id][self.region_name].get_parameter(named)
        if found is None or found.data_type != "aws:ec2:image":
            message = f"There is no parameter {named} of the data type aws:ec2:image"
            raise EC2ClientError("InvalidParameterValue", message)
        image = found.value
    if image:
        ami = machines.visible(self.account_id, self.region_name, image)
        if ami is None:
            raise InvalidAMIIdError(image)
        if ami.state != "available":
            raise EC2ClientError("InvalidAMIID.Unavailable", f"The image ID '{image}' is {ami.state}")
        ami.last_launched_time = f"{datetime.datetime.fromtimestamp(now(), datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
    return image


def mappings(self: EC2Backend, image: str, template: Mapping[str, Any], asked: list[Any]) -> list[dict[str, Any]]:
    """The volumes of an instance: those of its AMI, the template's, and those that are asked for, by their devices."""
    found: dict[str, dict[str, Any]] = {}
    if ami := machines.visible(self.account_id, self.region_name, image):
        [root] = ami.block_device_mappings
        ebs = {key: root["Ebs"][key] for key in ("VolumeSize", "VolumeType") if key in root["Ebs"]}
        if ami.ebs_snapshot.id in self.snapshots:  # of an AMI that is lent, its snapshot need not be
            ebs["SnapshotId"] = ami.ebs_snapshot.id
        found[ami.root_device_name] = {"DeviceName": ami.root_device_name, "Ebs": {**ebs, "DeleteOnTermination": True}}
    for one in (*template.get("BlockDeviceMappings", ()), *asked):
        before = found.get(one["DeviceName"], {}).get("Ebs", {})
        found[one["DeviceName"]] = {**one, "Ebs": {**before, **(one.get("Ebs") or {})}}
    for one in found.values():
        name, ebs = one["Ebs"].get("SnapshotId"), one["Ebs"]
        of = snapshot(self.account_id, self.region_name, name) if name else None
        if name and of is None:
            raise InvalidSnapshotIdError
        smallest = size(of) if of else 1
        ebs["VolumeSize"] = int(ebs.get("VolumeSize") or smallest)
        ebs["DeleteOnTermination"] = str(ebs.get("DeleteOnTermination", False)).lower() == "true"
        if ebs["VolumeSize"] < smallest:
            message = (
                f"Volume of size {ebs['VolumeSize']}GB is smaller than snapshot '{name}', expect size>= {smallest}GB"
            )
            raise EC2ClientError("InvalidBlockDeviceMapping", message)
    return list(found.values())


def size(found: Snapshot) -> int:
    """GiB of a snapshot: of an AMI's, as the AMI says it."""
    ami = found.ec2_backend.amis.get(found.from_ami) if found.from_ami else None
    return int(getattr(ami, "dpra_size", 0) or (machines.SIZE if ami else found.volume.size))


def disks(instance: Instance) -> list[roots.Disk]:
    """The volumes of an instance, the root's first."""
    ec2, found = instance.ec2_backend, []
    for device, block in instance.get_block_device_mapping:
        volume = ec2.volumes[block.volume_id]
        of = snapshot(ec2.account_id, ec2.region_name, volume.snapshot_id) if volume.snapshot_id else None
        image = instance.image_id if device == instance.root_device_name else str(of.from_ami or "") if of else ""
        found.append((device != instance.root_device_name, roots.Disk(volume.id, int(volume.size), image)))
    return [disk for _, disk in sorted(found, key=lambda one: one[0])]


def files(instance: Instance) -> Any:
    """The root of an instance, see `roots`."""
    return roots.of_instance(instance.id, instance.image_id, disks(instance))


def terminate(self: Instance) -> Any:
    """Instance.terminate: its files are gone."""
    roots.MACHINES.pop(self.id, None)
    return _terminate(self)


def lose(account: str, region: str) -> None:
    """Let the instances that run in an account and region be lost, as by a failure of AWS's own machine."""
    for instance in list(ec2_backends[account][region].all_instances()):
        if instance.state == "running":
            instance.terminate()
            instance.state_reason = StateReason(
                "Server.InternalError: Internal error on launch", "Server.InternalError"
            )


def mend() -> None:
    """Put them in place."""
    EC2Backend.run_instances = run_instances
    Instance.terminate = terminate
    EBSBackend.create_volume = create_volume
    ElasticBlockStore.modify_snapshot_attribute = modify_snapshot_attribute
