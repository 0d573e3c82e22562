"""EC2 Image Builder: components, recipes, configurations and tags of an account in a region."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from moto.core.base_backend import BackendDict, BaseBackend
from moto.iam.models import iam_backends
from moto.s3.models import s3_backends

from dpra.names import arn, partition

from .. import protocol
from ..protocol import Answer, Asked, Problem, Said
from . import api, documents, sources
from .api import invalid, serves, stamp
from .versions import latest, parts, references

PAGE = 25  # where a list is asked for without maxResults
LARGEST = 64 * 1024  # bytes of a component's document in S3, by default
HIGHEST = 2**30 - 1  # of a node of a version


class Store(BaseBackend):
    """What an account has in a region; everything by its ARN."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.components: dict[str, Said] = {}
        self.recipes: dict[str, Said] = {}
        self.infrastructures: dict[str, Said] = {}
        self.distributions: dict[str, Said] = {}
        self.images: dict[str, Any] = {}  # images.Image
        self.policies: dict[str, Said] = {}
        self.executions: dict[str, Said] = {}  # of lifecycles, by their ids
        self.findings: list[Said] = []  # Inspector's
        self.tags: dict[str, dict[str, str]] = {}
        self.answered: dict[tuple[str, str], tuple[Said, Said]] = {}  # operation and token -> what was asked and said

    def arn(self, *path: str) -> str:
        return arn(self.region_name, "imagebuilder", self.account_id, "/".join(path))

    def tag(self, name: str, asked: Asked) -> None:
        if tags := asked.get("tags"):
            self.tags[name] = dict(tags)


STORES = BackendDict(Store, "ec2")  # in its regions: botocore lists none of imagebuilder


def answer(account: str, region: str, environ: Mapping[str, Any]) -> Answer:
    """What an account's Image Builder answers to a request with `dpra.body`."""
    return api.answer(STORES[account][region], environ)


# ---- What the operations share


def slug(name: str) -> str:
    """A name as it stands in an ARN."""
    return name.lower().replace(" ", "-")


def told(asked: Asked, *names: str) -> Said:
    return {name: asked[name] for name in names if name in asked}


def named(found: Mapping[str, Any], name: str) -> Any:
    if name not in found:
        raise Problem("ResourceNotFoundException", f"The resource {name} cannot be found.")
    return found[name]


def tagged(store: Store, name: str, said: Said) -> Said:
    return {**said, **({"tags": tags} if (tags := store.tags.get(name)) else {})}


def rehearsed(asked: Asked) -> None:
    """Make nothing where only that is asked for."""
    if asked.get("dryRun"):
        raise Problem("DryRunOperationException", "The dry run operation of the resource was successful.")


def page(key: str, items: Iterable[Said], asked: Asked) -> Said:
    """The page of a list that is asked for."""
    listed, token = list(items), asked.get("nextToken", "0")
    if not token.isdecimal():
        raise Problem("InvalidPaginationTokenException", f"nextToken is {token}, which was not given out")
    start, most = int(token), asked.get("maxResults", PAGE)
    more = {"nextToken": str(start + most)} if len(listed) > start + most else {}
    return {key: listed[start : start + most], **more}


def filtered(items: Iterable[Said], asked: Asked, *known: str) -> Iterable[Said]:
    """Those that all filters let pass."""
    filters = asked.get("filters", ())
    for one in filters:
        if one.get("name") not in known:
            raise invalid("filters", f"the filter {one.get('name')} is none of {', '.join(known)}")
    for item in items:
        if all(str(item.get(one["name"])) in one.get("values", ()) for one in filters):
            yield item


def versions(name: str, number: str, there: Iterable[str]) -> str:
    """An ARN with the next build number."""
    builds = [int(other.rpartition("/")[2]) for other in there if other.rpartition("/")[0] == f"{name}/{number}"]
    return f"{name}/{number}/{max(builds, default=0) + 1}"


def numbered(semantic: str) -> str:
    if any(int(node) > HIGHEST for node in semantic.split(".") if node.isdecimal()):
        raise Problem("InvalidVersionNumberException", f"{semantic}: a node is at most {HIGHEST}")
    return semantic


# ---- Components

OF_COMPONENT = ("name", "description", "changeDescription", "platform", "supportedOsVersions", "kmsKeyId")


@serves
def create_component(store: Store, asked: Asked) -> Said:
    """The same version again is a further build of it.

    Source: https://aws.amazon.com/about-aws/whats-new/2025/11/ec2-image-builder-auto-versioning-infrastructure/"""
    if ("data" in asked) == ("uri" in asked):
        raise Problem("InvalidParameterCombinationException", "exactly one of data and uri must be given")
    data = asked["data"] if "data" in asked else stored(store, asked["uri"])
    document = documents.read(data)
    number = numbered(asked["semanticVersion"])
    rehearsed(asked)
    name = versions(store.arn("component", slug(asked["name"])), number, store.components)
    store.components[name] = {
        **told(asked, *OF_COMPONENT),
        "arn": name,
        "version": number,
        "type": document.kind,
        "state": {"status": "ACTIVE"},
        "parameters": [
            {"name": key, "type": "String", **({"defaultValue": [value]} if value is not None else {})}
            for key, value in document.parameters.items()
        ],
        "owner": store.account_id,
        "data": data,
        "encrypted": True,
        "dateCreated": stamp(),
    }
    store.tag(name, asked)
    return {"componentBuildVersionArn": name, "latestVersionReferences": references(name)}


def stored(store: Store, uri: str) -> str:
    """A document in S3."""
    found = re.fullmatch(r"s3://([^/]+)/(.+)", uri)
    buckets = s3_backends[store.account_id][partition(store.region_name)].buckets
    key = buckets[found[1]].keys.get(found[2]) if found and found[1] in buckets else None
    if key is None:
        raise invalid("uri", f"there is no {uri}")
    if len(content := bytes(key.value)) > LARGEST:
        raise Problem("ServiceQuotaExceededException", f"the document has {len(content)} bytes: at most {LARGEST}")
    return content.decode()


@serves
def get_component(store: Store, asked: Asked) -> Said:
    name = latest(store.components, asked["componentBuildVersionArn"], "componentBuildVersionArn")
    said = named(store.components, name)
    return {"component": tagged(store, name, said), "latestVersionReferences": references(name)}


@serves
def list_components(store: Store, asked: Asked) -> Said:
    """One entry a version, or a name; the rehearsal has components of the account itself only."""
    newest: dict[str, Said] = {}
    for name, said in sorted(store.components.items(), key=lambda one: parts(one[0])):
        newest[said["name"] if asked.get("byName") else name.rpartition("/")[0]] = {
            **told(said, *OF_COMPONENT[:2], "platform", "supportedOsVersions", "version", "type", "owner"),
            "dateCreated": said["dateCreated"],
            "status": said["state"]["status"],
            "arn": name.rpartition("/")[0],
        }
    mine = newest.values() if asked.get("owner", "Self") == "Self" else ()
    known = ("description", "name", "platform", "status", "type", "version")
    return page("componentVersionList", filtered(mine, asked, *known), asked)


@serves
def list_component_build_versions(store: Store, asked: Asked) -> Said:
    wanted, of = asked.get("componentVersionArn"), (*OF_COMPONENT[:-1], "version", "state", "type", "owner")
    found = (
        tagged(store, name, {**told(said, *of), "arn": name, "dateCreated": said["dateCreated"]})
        for name, said in sorted(store.components.items(), key=lambda one: parts(one[0]), reverse=True)
        if wanted in (None, name.rpartition("/")[0])
    )
    return page("componentSummaryList", found, asked)


@serves
def delete_component(store: Store, asked: Asked) -> Said:
    name = asked["componentBuildVersionArn"]
    named(store.components, name)
    for recipe, said in store.recipes.items():
        own = (one["componentArn"] for one in said.get("components", ()) if not sources.managed(one["componentArn"]))
        if any(latest(store.components, one, "") == name for one in own):
            raise Problem("ResourceDependencyException", f"Resource dependency error: {recipe} needs {name}")
    return gone(store, store.components, name, "componentBuildVersionArn")


def gone(store: Store, things: dict[str, Any], name: str, key: str) -> Said:
    del things[name]
    store.tags.pop(name, None)
    return {key: name}


# ---- Recipes

OF_RECIPE = (
    *("name", "description", "components", "parentImage", "blockDeviceMappings", "workingDirectory"),
    *("additionalInstanceConfiguration", "amiTags", "amiWatermarks"),
)


@serves
def create_image_recipe(store: Store, asked: Asked) -> Said:
    """Source of its refusal: https://github.com/ministryofjustice/modernisation-platform-ami-builds/pull/549"""
    number = numbered(asked["semanticVersion"])
    name = store.arn("image-recipe", slug(asked["name"]))
    if "x" in number:  # the next one that is free
        if not re.fullmatch(r"\d+\.\d+\.x", number):
            raise invalid("semanticVersion", f"the rehearsal counts the last node only, not {number}")
        there = [parts(other)[2] for other in store.recipes if other.startswith(f"{name}/{number[:-1]}")]
        number = f"{number[:-1]}{max(there, default=-1) + 1}"
    name = f"{name}/{number}"
    if name in store.recipes:
        raise Problem(
            "ResourceAlreadyExistsException", f"The following resource 'ImageRecipe' already exists: '{name}'."
        )
    for one in asked.get("components", ()):
        component(store, one)
    sources.image(store, asked["parentImage"], "parentImage")
    rehearsed(asked)
    store.recipes[name] = {
        **told(asked, *OF_RECIPE),
        "arn": name,
        "type": "AMI",
        "platform": "Linux",
        "owner": store.account_id,
        "version": number,
        "dateCreated": stamp(),
    }
    store.tag(name, asked)
    return {"imageRecipeArn": name, "latestVersionReferences": references(name)}


def component(store: Store, asked: Asked) -> str:
    """The build of a component that a recipe names, with the parameters that it may be given; AWS's own as named."""
    wanted = asked["componentArn"]
    if sources.managed(wanted):
        return str(wanted)
    name = latest(store.components, wanted, "components")
    document = documents.read(named(store.components, name)["data"])
    given = {one["name"] for one in asked.get("parameters", ())}
    if strange := sorted(given - set(document.parameters)):
        raise invalid("components", f"{name} has no parameter {', '.join(strange)}")
    if missing := sorted({key for key, value in document.parameters.items() if value is None} - given):
        raise invalid("components", f"{name} needs the parameter {', '.join(missing)}")
    return name


@serves
def get_image_recipe(store: Store, asked: Asked) -> Said:
    name = latest(store.recipes, asked["imageRecipeArn"], "imageRecipeArn")
    said = named(store.recipes, name)
    return {"imageRecipe": tagged(store, name, said), "latestVersionReferences": references(name)}


@serves
def list_image_recipes(store: Store, asked: Asked) -> Said:
    of = ("arn", "name", "platform", "owner", "parentImage", "dateCreated")
    found = (tagged(store, name, told(said, *of)) for name, said in store.recipes.items())
    return page("imageRecipeSummaryList", filtered(found, asked, "name", "parentImage", "platform"), asked)


@serves
def delete_image_recipe(store: Store, asked: Asked) -> Said:
    name = asked["imageRecipeArn"]
    named(store.recipes, name)
    return gone(store, store.recipes, name, "imageRecipeArn")


# ---- Configurations: of the infrastructure, and of the distribution

OF_INFRASTRUCTURE = (
    *("name", "description", "instanceTypes", "instanceProfileName", "securityGroupIds", "subnetId", "logging"),
    *("keyPair", "terminateInstanceOnFailure", "terminateInstanceOnCompletion", "snsTopicArn", "resourceTags"),
    *("instanceMetadataOptions", "placement", "parentInstance"),
)
OF_DISTRIBUTION = ("name", "description", "distributions")
TIMEOUT = 720  # minutes, by default


def check_infrastructure(store: Store, asked: Asked) -> None:
    profiles = iam_backends[store.account_id][partition(store.region_name)].instance_profiles.values()
    if all(one.name != asked["instanceProfileName"] for one in profiles):
        raise invalid(
            "instanceProfileName",
            "The provided instance profile does not exist. Please specify a different instance profile and try again.",
        )


def check_distribution(store: Store, asked: Asked) -> None:
    """A name that would be another AMI's already, an account that is no target."""
    for one in asked["distributions"]:
        if one["region"] not in STORES[store.account_id]:
            raise invalid("distributions", f"there is no region {one['region']}")
        ami = one.get("amiDistributionConfiguration", {})
        if "name" in ami and not re.search(r"\{\{\s*imagebuilder:buildDate\s*\}\}", ami["name"]):
            raise invalid("distributions", f"the name {ami['name']} has no {{{{ imagebuilder:buildDate }}}}")
        for parameter in one.get("ssmParameterConfigurations", ()):
            targets = ami.get("targetAccountIds", [store.account_id])
            if parameter.get("amiAccountId", store.account_id) not in targets:
                raise invalid("distributions", f"{parameter['amiAccountId']} is no target account in {one['region']}")


def configuration(
    kind: str, things: str, of: tuple[str, ...], check: Callable[[Store, Asked], None], more: Said
) -> None:
    """Serve the operations of a kind of configuration: they are alike."""
    key, parameter = f"{kind[0].lower()}{kind[1:]}", f"{kind[0].lower()}{kind[1:]}Arn"
    path = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind).lower()

    def create(store: Store, asked: Asked) -> Said:
        name = store.arn(path, slug(asked["name"]))
        if name in getattr(store, things):
            raise Problem(
                "ResourceAlreadyExistsException", f"The following resource '{kind}' already exists: '{name}'."
            )
        check(store, asked)
        rehearsed(asked)
        getattr(store, things)[name] = {**told(asked, *of), "arn": name, "dateCreated": stamp(), **more}
        store.tag(name, asked)
        return {parameter: name}

    def get(store: Store, asked: Asked) -> Said:
        said = named(getattr(store, things), asked[parameter])
        return {key: tagged(store, asked[parameter], said)}

    def update(store: Store, asked: Asked) -> Said:
        """What is not said is no more; the name stays."""
        before = named(getattr(store, things), asked[parameter])
        check(store, asked)
        rehearsed(asked)
        kept = told(before, "name", "arn", "dateCreated", *more)
        getattr(store, things)[asked[parameter]] = {**told(asked, *of), **kept, "dateUpdated": stamp()}
        return {parameter: asked[parameter]}

    def every(store: Store, asked: Asked) -> Said:
        found = [tagged(store, name, told(said, *summary)) for name, said in getattr(store, things).items()]
        return page(f"{key}SummaryList", filtered(found, asked, "name"), asked)

    def delete(store: Store, asked: Asked) -> Said:
        named(getattr(store, things), asked[parameter])
        return gone(store, getattr(store, things), asked[parameter], parameter)

    summary = protocol.service(*api.MODELS).shape_for(f"{kind}Summary").members
    verbs = {"Create": create, "Get": get, "Update": update, "Delete": delete}
    api.OPERATIONS.update({f"{verb}{kind}": function for verb, function in verbs.items()})
    api.OPERATIONS[f"List{kind}s"] = every


configuration("InfrastructureConfiguration", "infrastructures", OF_INFRASTRUCTURE, check_infrastructure, {})
configuration(
    "DistributionConfiguration", "distributions", OF_DISTRIBUTION, check_distribution, {"timeoutMinutes": TIMEOUT}
)


# ---- Tags


def thing(store: Store, asked: Asked) -> str:
    """The ARN that is asked about, of something that is there."""
    name = asked["resourceArn"]
    everything = (
        store.components,
        store.recipes,
        store.infrastructures,
        store.distributions,
        store.images,
        store.policies,
    )
    if not any(name in things for things in everything):
        raise Problem("ResourceNotFoundException", f"The resource {name} cannot be found.")
    return str(name)


@serves
def list_tags_for_resource(store: Store, asked: Asked) -> Said:
    return {"tags": store.tags.get(thing(store, asked), {})}


@serves
def tag_resource(store: Store, asked: Asked) -> None:
    name = thing(store, asked)
    store.tags[name] = {**store.tags.get(name, {}), **asked["tags"]}


@serves
def untag_resource(store: Store, asked: Asked) -> None:
    name = thing(store, asked)
    store.tags[name] = {key: value for key, value in store.tags.get(name, {}).items() if key not in asked["tagKeys"]}
