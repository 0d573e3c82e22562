"""EC2 Image Builder's images: they go on by the rehearsal's clock, which itself goes on when somebody looks.

A look is GetImage, ListImageBuildVersions or ListWorkflowExecutions: it lets the clock pass until the image has its
next status, and faster for whoever waits between two of them: ten minutes in a second. What is built is built when
BUILDING ends, tested when TESTING does, distributed when DISTRIBUTING does."""

import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import field

from moto.ec2.exceptions import EC2ClientError

from dpra.dataclasses import dataclass

from ..protocol import Asked, Problem, Said, now, pass_until
from . import building, distribution, scans, sources
from .api import invalid, serves, stamp
from .store import STORES, Store, component, filtered, gone, named, page, slug, tagged, told, versions
from .versions import latest, parts, references

DONE = ("AVAILABLE", "CANCELLED", "FAILED", "DEPRECATED", "DISABLED", "DELETED")
# Minutes that an image has each status, as an ordinary build has it.
MINUTES = {"PENDING": 0.5, "CREATING": 1.5, "BUILDING": 10, "TESTING": 5, "DISTRIBUTING": 6, "INTEGRATING": 1}
PACE = 600  # seconds that pass in one that somebody waits
DOOMED: set[tuple[str, str]] = set()  # account and region whose next image fails: a fault of the rehearsal
WORKFLOWS = {"BUILD": "build-image", "TEST": "test-image", "DISTRIBUTION": "distribute-image"}
OF = {"CREATING": "BUILD", "BUILDING": "BUILD", "TESTING": "TEST", "DISTRIBUTING": "DISTRIBUTION"}


@dataclass
class Image:
    said: Said
    parent: str  # id of the AMI that it is made from; if nothing is built, that is the one that is distributed
    components: tuple[building.Part, ...]
    distributions: tuple[Said, ...]
    profile: str  # the build instance's
    role: str  # ARN of the role that distributes; empty for the service's own
    stages: list[tuple[float, str]]  # to come: when, which status
    doomed: bool = False
    state: Said = field(default_factory=lambda: {"status": "PENDING"})
    amis: list[Said] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    workflows: dict[str, Said] = field(default_factory=dict)  # by their type
    built: str = ""  # id of the AMI
    scan: Said = field(default_factory=dict)  # how Inspector's scan ended
    looked: float = 0.0  # when somebody last looked, by this machine's clock

    @property
    def status(self) -> str:
        return str(self.state["status"])

    @property
    def arn(self) -> str:
        return str(self.said["arn"])


def stages(started: float, *statuses: str) -> list[tuple[float, str]]:
    found, moment = [], started
    for before, status in zip(("PENDING", *statuses), (*statuses, "AVAILABLE"), strict=True):
        moment += 60 * MINUTES[before]
        found.append((moment, status))
    return found


# ---- The time


def look(store: Store, image: Image) -> None:
    if image.stages:
        waited = PACE * (time.monotonic() - image.looked) if image.looked else 0
        pass_until(max(image.stages[0][0], min(now() + waited, image.stages[-1][0])))
    for one in list(store.images.values()):
        settle(store, one)
    image.looked = time.monotonic()  # what it did takes no time here


def settle(store: Store, image: Image) -> None:
    """What has happened by now."""
    while image.stages and image.stages[0][0] <= now():
        _, status = image.stages.pop(0)
        before = image.status
        try:
            work(store, image, before)
        except EC2ClientError as error:
            fail(image, before, building.Unbuilt(str(error.message)))
            return
        except building.Unbuilt as error:
            fail(image, before, error)
            return
        follow(store, image, before, "COMPLETED")
        image.state = {"status": status}
        follow(store, image, status, "RUNNING")


def work(store: Store, image: Image, status: str) -> None:
    """What an image does while it has a status."""
    if image.doomed and status in ("BUILDING", "DISTRIBUTING"):
        raise building.Unbuilt("An internal error has occurred. Please try again.")
    match status:
        case "BUILDING":
            image.built = building.build(store, image)
        case "TESTING":
            building.test(store, image)
            scans.end(store, image)
        case "DISTRIBUTING":
            image.amis = distribution.distribute(store, image)
        case "INTEGRATING":
            distribution.integrate(store, image)


def fail(image: Image, status: str, error: building.Unbuilt) -> None:
    """Source of the words: https://github.com/aws/aws-parallelcluster/issues/3995"""
    execution, kind = str(uuid.uuid4()), OF.get(status, "DISTRIBUTION")
    reason = (
        f"SSM execution '{execution}' failed for image arn: '{image.arn}' with status = '{error.status}' "
        f"in state = '{status}' and failure message = '{error}'"
    )
    context: Said = {"imageStatus": status, **error.context}
    if workflow := image.workflows.get(kind):
        context |= {"workflowExecutionId": workflow["workflowExecutionId"]}
        context |= {"workflowArn": workflow["workflowBuildVersionArn"]}
        workflow |= {"status": "FAILED", "message": str(error)[:500], "endTime": stamp(), "totalStepsFailed": 1}
    image.state = {"status": "FAILED", "reason": reason[:1024], "failureContext": context}
    image.stages.clear()


def follow(store: Store, image: Image, status: str, workflow: str) -> None:
    """Note what becomes of a workflow's execution."""
    kind = OF.get(status, "")
    if workflow == "RUNNING" and kind and kind not in image.workflows:
        name = sources.amazon(store, "workflow", kind.lower(), WORKFLOWS[kind], "1.0.2", "1")
        image.workflows[kind] = {
            "workflowBuildVersionArn": name,
            "workflowExecutionId": f"wf-{uuid.uuid4()}",
            "type": kind,
            "startTime": stamp(),
            "totalStepCount": 1,
            "totalStepsFailed": 0,
            "totalStepsSkipped": 0,
        }
    if kind in image.workflows and (status, workflow) != ("CREATING", "COMPLETED"):
        ended = (
            {"endTime": stamp(), "totalStepsSucceeded": 1} if workflow == "COMPLETED" else {"totalStepsSucceeded": 0}
        )
        image.workflows[kind] |= {"status": workflow, **ended}


# ---- Operations


@serves
def create_image(store: Store, asked: Asked) -> Said:
    if "containerRecipeArn" in asked or "workflows" in asked:
        raise Problem("NotImplemented", "the rehearsal's Image Builder makes AMIs, by AWS's own workflows")
    if "imageRecipeArn" not in asked:
        raise Problem("InvalidRequestException", "exactly one of imageRecipeArn and containerRecipeArn must be given")
    name = latest(store.recipes, asked["imageRecipeArn"], "imageRecipeArn")
    recipe = named(store.recipes, name)
    infrastructure = named(store.infrastructures, asked["infrastructureConfigurationArn"])
    tests = asked.get("imageTestsConfiguration", {}).get("imageTestsEnabled", True)
    scans.check(store, asked, tests)
    said: Said = {
        **told(asked, "imageScanningConfiguration", "executionRole", "loggingConfiguration"),
        "name": recipe["name"],
        "enhancedImageMetadataEnabled": asked.get("enhancedImageMetadataEnabled", True),
        "imageRecipe": dict(recipe),
        "infrastructureConfiguration": dict(infrastructure),
        "imageTestsConfiguration": {"timeoutMinutes": 720, "imageTestsEnabled": tests},
    }
    image = begin(store, asked, said, slug(recipe["name"]), recipe["version"])
    image.profile = infrastructure["instanceProfileName"]
    image.parent = sources.image(store, recipe["parentImage"], "parentImage").id
    image.components = tuple(
        building.Part(
            component(store, one), {each["name"]: ",".join(each["value"]) for each in one.get("parameters", ())}
        )
        for one in recipe.get("components", ())
    )
    tested = ("TESTING",) if tests else ()
    image.stages = stages(now(), "CREATING", "BUILDING", *tested, *ends(image))
    return kept(store, asked, image)


def begin(store: Store, asked: Asked, said: Said, name: str, number: str) -> Image:
    """An image that is yet to be made, and its distribution."""
    arn = versions(store.arn("image", name), number, store.images)
    said |= {"arn": arn, "type": "AMI", "version": arn.partition("/")[2].partition("/")[2], "platform": "Linux"}
    said |= {"buildType": "USER_INITIATED", "imageSource": "CUSTOM", "dateCreated": stamp()}
    distributions: tuple[Said, ...] = ()
    if "distributionConfigurationArn" in asked:
        configured = named(store.distributions, asked["distributionConfigurationArn"])
        said["distributionConfiguration"] = dict(configured)
        distributions = tuple(configured["distributions"])
    role = distribution.role(store, asked.get("executionRole", ""))
    return Image(said, "", (), distributions, "", role, [])


def ends(image: Image) -> tuple[str, ...]:
    integrates = any(one.get("ssmParameterConfigurations") for one in image.distributions)
    return ("DISTRIBUTING", "INTEGRATING") if integrates else ("DISTRIBUTING",)


def kept(store: Store, asked: Asked, image: Image) -> Said:
    if (place := (store.account_id, store.region_name)) in DOOMED:
        DOOMED.remove(place)
        image.doomed = True
    store.images[image.arn] = image
    store.tag(image.arn, asked)
    return {"imageBuildVersionArn": image.arn, "latestVersionReferences": references(image.arn)}


@serves
def distribute_image(store: Store, asked: Asked) -> Said:
    """An AMI that is there, to where a distribution configuration says; where it is already, it stays what it is."""
    source = sources.image(store, asked["sourceImage"], "sourceImage")
    configured = named(store.distributions, asked["distributionConfigurationArn"])
    said, name, number = {"name": configured["name"]}, slug(configured["name"]), "1.0.0"
    if asked["sourceImage"].startswith("arn:") and not sources.managed(asked["sourceImage"]):
        before = available(store, asked["sourceImage"])
        said, name = {"name": before.said["name"]}, before.arn.split("/")[1]
        number = before.arn.split("/")[2]
        said |= told(before.said, "imageRecipe", "infrastructureConfiguration")
    image = begin(store, asked, {**said, **told(asked, "executionRole", "loggingConfiguration")}, name, number)
    image.parent = image.built = source.id
    image.stages = stages(now(), *ends(image))
    return {key: value for key, value in kept(store, asked, image).items() if key != "latestVersionReferences"}


def available(store: Store, name: str) -> Image:
    """The image of a build's ARN; of a version's the newest that is AVAILABLE.

    Source: the text of GetImage in botocore's model"""
    if name not in store.images:
        ready = [one for one, image in store.images.items() if image.status == "AVAILABLE"]
        name = latest(ready, name, "imageBuildVersionArn")
    found: Image = named(store.images, name)
    return found


def whole(store: Store, image: Image) -> Said:
    scan = {"scanState": scans.state(image)} if scans.wanted(image.said) else {}
    amis = {"outputResources": {"amis": image.amis}} if image.amis else {}
    return tagged(store, image.arn, {**image.said, "state": image.state, **scan, **amis})


@serves
def get_image(store: Store, asked: Asked) -> Said:
    image = available(store, asked["imageBuildVersionArn"])
    look(store, image)
    return {"image": whole(store, image), "latestVersionReferences": references(image.arn)}


def newest(store: Store) -> Iterator[Image]:
    for name in sorted(store.images, key=lambda name: (name.split("/")[1], parts(name)), reverse=True):
        yield store.images[name]


@serves
def list_images(store: Store, asked: Asked) -> Said:
    """One entry a version, or a name; of images that are there, whatever their status."""
    found: dict[str, Said] = {}
    for image in newest(store):
        version = image.arn.rpartition("/")[0]
        of = ("name", "type", "platform", "dateCreated", "buildType", "imageSource")
        entry = {**told(image.said, *of), "arn": version, "version": version.rpartition("/")[2]}
        found.setdefault(image.said["name"] if asked.get("byName") else version, {**entry, "owner": store.account_id})
    mine = found.values() if asked.get("owner", "Self") == "Self" else ()
    return page("imageVersionList", filtered(mine, asked, "name", "platform", "type", "version"), asked)


@serves
def list_image_build_versions(store: Store, asked: Asked) -> Said:
    wanted = asked.get("imageVersionArn")
    images = [one for one in newest(store) if wanted in (None, one.arn.rpartition("/")[0])]
    for image in images:
        look(store, image)
    members = ("arn", "name", "type", "version", "platform", "state", "dateCreated", "outputResources", "tags")
    said = [told(whole(store, one), *members, "buildType", "imageSource", "deprecationTime") for one in images]
    found = ({**one, "owner": store.account_id} for one in said)
    return page("imageSummaryList", filtered(found, asked, "name", "platform", "type", "version"), asked)


@serves
def cancel_image_creation(store: Store, asked: Asked) -> Said:
    image = named(store.images, asked["imageBuildVersionArn"])
    settle(store, image)
    if image.status in DONE:
        raise Problem("InvalidRequestException", f"{image.arn} is {image.status}: its creation cannot be cancelled")
    image.state, image.doomed = {"status": "CANCELLED", "reason": "The image creation was cancelled."}, False
    image.stages.clear()
    for workflow in image.workflows.values():
        if workflow["status"] == "RUNNING":
            workflow |= {"status": "CANCELLED", "endTime": stamp()}
    return {"imageBuildVersionArn": image.arn}


@serves
def delete_image(store: Store, asked: Asked) -> Said:
    """The image of Image Builder, not its AMIs."""
    image = named(store.images, asked["imageBuildVersionArn"])
    settle(store, image)
    if image.status not in DONE:
        raise Problem("ResourceDependencyException", f"Resource dependency error: {image.arn} is {image.status}")
    return gone(store, store.images, image.arn, "imageBuildVersionArn")


# ---- Workflows


@serves
def list_workflow_executions(store: Store, asked: Asked) -> Said:
    image = named(store.images, asked["imageBuildVersionArn"])
    look(store, image)
    message = {"message": image.state["reason"][:500]} if "reason" in image.state else {}
    found = page("workflowExecutions", image.workflows.values(), asked)
    return {**found, "imageBuildVersionArn": image.arn, **message}


@serves
def get_workflow_execution(store: Store, asked: Asked) -> Said:
    for image in store.images.values():
        for workflow in image.workflows.values():
            if workflow["workflowExecutionId"] == asked["workflowExecutionId"]:
                return {**workflow, "imageBuildVersionArn": image.arn}
    raise invalid("workflowExecutionId", f"there is no {asked['workflowExecutionId']}")


def log_of(account: str, region: str, name: str) -> list[str]:
    """What the steps of an image printed, by the ARN of its build; empty where there is none."""
    with suppress(KeyError):
        return list(STORES[account][region].images[name].log)
    return []
