"""The end of images: a status that is asked for, for an image alone or for its AMIs too, and policies, which are kept
here and run by nobody."""

import datetime
import uuid
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends

from ..protocol import Asked, Problem, Said, now
from . import distribution
from .api import invalid, serves
from .images import DONE, Image, settle
from .store import Store, filtered, gone, named, page, rehearsed, slug, tagged, told

OF_POLICY = (
    *("name", "description", "status", "executionRole", "resourceType", "policyDetails", "resourceSelection"),
    *("arn", "dateCreated"),
)
OF_SUMMARY = tuple(name for name in OF_POLICY if name not in ("policyDetails", "resourceSelection"))


@serves
def start_resource_state_update(store: Store, asked: Asked) -> Said:
    """At once. With its AMIs it is an execution, as the model's text says."""
    image: Image = named(store.images, asked["resourceArn"])
    settle(store, image)
    if image.status not in DONE:
        raise Problem("ResourceInUseException", f"{image.arn} is {image.status}")
    if "updateAt" in asked or asked.get("exclusionRules"):
        raise Problem("NotImplemented", "the rehearsal changes the status of an image at once, and of all its AMIs")
    status, included = asked["state"].get("status"), asked.get("includeResources", {})
    if status is None:
        raise invalid("state", "status is missing")
    if not any(included.values()):
        change(store, image, status)
        return {"resourceArn": image.arn}
    if "executionRole" not in asked:
        raise invalid("executionRole", "it is required where resources are included")
    distribution.role(store, asked["executionRole"])
    execution = f"lce-{uuid.uuid4()}"
    said: Said = {"lifecycleExecutionId": execution, "startTime": now(), "endTime": now()}
    try:
        for ami in image.amis if included.get("amis") else ():
            if ami["accountId"] == store.account_id:
                end(ec2_backends[ami["accountId"]][ami["region"]], ami["image"], status, included.get("snapshots"))
        change(store, image, status)
        said |= {"state": {"status": "SUCCESS"}, "resourcesImpactedSummary": {"hasImpactedResources": True}}
    except EC2ClientError as error:
        said["state"] = {"status": "FAILED", "reason": str(error.message)}
    store.executions[execution] = said
    return {"resourceArn": image.arn, "lifecycleExecutionId": execution}


def change(store: Store, image: Image, status: str) -> None:
    if status == "DELETED":
        gone(store, store.images, image.arn, "")
        return
    image.state = {"status": status}
    if status == "DEPRECATED":
        image.said["deprecationTime"] = now()


def end(ec2: Any, name: str, status: str, snapshots: Any) -> None:
    """Give an AMI that is there a status."""
    if (ami := ec2.amis.get(name)) is None:
        return
    if status == "DELETED":
        ec2.deregister_image(name)
        if snapshots:
            ec2.delete_snapshot(ami.ebs_snapshot.id)
    elif status == "DISABLED":
        ec2.disable_image(name)
    elif status == "AVAILABLE":
        ec2.enable_image(name)
        ami.deprecation_time = None
    else:
        ami.deprecation_time = f"{datetime.datetime.fromtimestamp(now(), datetime.UTC):%Y-%m-%dT%H:%M}:00.000Z"


@serves
def get_lifecycle_execution(store: Store, asked: Asked) -> Said:
    return {"lifecycleExecution": named(store.executions, asked["lifecycleExecutionId"])}


# ---- Policies


@serves
def create_lifecycle_policy(store: Store, asked: Asked) -> Said:
    name = store.arn("lifecycle-policy", slug(asked["name"]))
    if name in store.policies:
        said = f"The following resource 'LifecyclePolicy' already exists: '{name}'."
        raise Problem("ResourceAlreadyExistsException", said)
    distribution.role(store, asked["executionRole"])
    if len(asked["resourceSelection"]) != 1:
        raise invalid("resourceSelection", "exactly one of recipes and tagMap must be given")
    rehearsed(asked)
    store.policies[name] = {"status": "ENABLED", **told(asked, *OF_POLICY), "arn": name, "dateCreated": now()}
    store.tag(name, asked)
    return {"lifecyclePolicyArn": name}


@serves
def get_lifecycle_policy(store: Store, asked: Asked) -> Said:
    name = asked["lifecyclePolicyArn"]
    return {"lifecyclePolicy": tagged(store, name, named(store.policies, name))}


@serves
def list_lifecycle_policies(store: Store, asked: Asked) -> Said:
    found = (tagged(store, name, told(said, *OF_SUMMARY)) for name, said in store.policies.items())
    return page("lifecyclePolicySummaryList", filtered(found, asked, "name", "resourceType", "status"), asked)


@serves
def delete_lifecycle_policy(store: Store, asked: Asked) -> Said:
    named(store.policies, asked["lifecyclePolicyArn"])
    return gone(store, store.policies, asked["lifecyclePolicyArn"], "lifecyclePolicyArn")
