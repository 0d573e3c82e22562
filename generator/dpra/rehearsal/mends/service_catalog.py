"""Service Catalog: the versions of products, which its API calls provisioning artifacts, and what portfolios offer.
moto has portfolios, and products without versions.

botocore's model says what an operation takes. A version is CREATING until somebody looks at it. Not known here: quotas,
and what users provision."""

# mypy: disable-error-code="assignment, method-assign"
import json
import re
import secrets
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

from moto.cloudformation.models import Stack, cloudformation_backends
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.s3.models import s3_backends
from moto.servicecatalog.exceptions import InvalidParametersException, ResourceNotFoundException
from moto.servicecatalog.models import Product, ServiceCatalogBackend, servicecatalog_backends
from moto.servicecatalog.responses import ServiceCatalogResponse

from dpra.dataclasses import dataclass
from dpra.names import arn, partition

from .protocol import beyond, service

Said = dict[str, Any]  # parameters or an answer, as in the model
Operation = Callable[[ServiceCatalogBackend, Said], Said]
Context = dict[str, str | list[str]]

CHARACTERS = string.ascii_lowercase + string.digits
S3_URL = re.compile(r"(?:([a-z0-9.-]+)\.)?s3(?:[.-][a-z0-9-]+)?\.amazonaws\.(?:com|com\.cn|eu)")
OPERATIONS: dict[str, Callable[[ServiceCatalogResponse], ActionResult]] = {}
# The operations about one product, by what names it: they can be allowed for this product only. Source, as cfn-lint has
# it: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsservicecatalog.html
OF_PRODUCT = {
    **dict.fromkeys(("CreateProvisioningArtifact", "UpdateProvisioningArtifact"), ("ProductId", "")),
    **dict.fromkeys(("DeleteProvisioningArtifact", "ListProvisioningArtifacts"), ("ProductId", "")),
    **dict.fromkeys(("DescribeProduct", "DescribeProductAsAdmin"), ("Id", "Name")),
    "DescribeProvisioningArtifact": ("ProductId", "ProductName"),
}


@dataclass
class Version:
    """A provisioning artifact."""

    said: Said  # ProvisioningArtifactDetail
    info: Said
    asked: Said
    status: str = "CREATING"


def new_id(start: str) -> str:
    return f"{start}{''.join(secrets.choice(CHARACTERS) for _ in range(13))}"


def versions_of(product: Product) -> dict[str, Version]:
    """The versions of a product by their ids, the oldest first."""
    found: dict[str, Version] = product.__dict__.setdefault("dpra_versions", {})
    return found


# ---- Requests


def serves(function: Operation) -> Operation:
    """The function does the operation of its name: in place of moto's, or where moto has none."""
    name = function.__name__.title().replace("_", "")

    def respond(self: ServiceCatalogResponse) -> ActionResult:
        asked = json.loads(self.body)
        check(name, asked)
        return ActionResult(function(self.servicecatalog_backend, asked))

    OPERATIONS[function.__name__] = respond
    return function


def check(operation: str, asked: Said) -> None:
    """Refuse what the model refuses."""
    from botocore.validate import ParamValidator

    shape = service("servicecatalog").operation_model(operation).input_shape
    readable = {name: value for name, value in asked.items() if name != "Tags"}  # Python's re does not know their \p{L}
    wrong = [ParamValidator().validate(asked, shape).generate_report(), *beyond(readable, shape, "")]
    if reasons := [reason for reason in wrong if reason]:
        invalid(f"{len(reasons)} validation errors detected: {'; '.join(reasons)}")


def invalid(message: str) -> NoReturn:
    raise InvalidParametersException(message)


def product_of(backend: ServiceCatalogBackend, number: str = "", name: str = "") -> Product:
    found = backend.products.get(number) if number else backend.lookup_by_name(name) if name else None
    if found is None:
        if not number and not name:
            invalid("the id or the name of the product is needed")
        raise ResourceNotFoundException(f"Product {number or name} not found.")
    return found


def version_of(product: Product, number: str = "", name: str = "") -> Version:
    if not number and not name:
        invalid("the id or the name of the provisioning artifact is needed")
    for version in versions_of(product).values():
        if number == version.said["Id"] or (not number and name == version.said["Name"]):
            return version
    raise ResourceNotFoundException(f"ProvisioningArtifact {number or name} not found.")


def told(asked: Said, *names: str) -> Said:
    return {name: asked[name] for name in names if name in asked}


# ---- Templates


def place(url: str) -> tuple[str, str] | None:
    """Bucket and key of a URL of S3, whether the bucket stands in its host or in its path."""
    parts = urlsplit(url)
    found = S3_URL.fullmatch(parts.hostname or "")
    path = unquote(parts.path.removeprefix("/"))
    if parts.scheme != "https" or not found:
        return None
    bucket, key = (found[1], path) if found[1] else path.partition("/")[::2]
    return (bucket, key) if bucket and key else None


def template(backend: ServiceCatalogBackend, info: Mapping[str, str]) -> str:
    """The text that a version is to be made of."""
    if len(info) != 1 or not {*info} <= {"LoadTemplateFromURL", "ImportFromPhysicalId"}:
        invalid("Info must have LoadTemplateFromURL or ImportFromPhysicalId")
    [(kind, where)] = info.items()
    at = backend.account_id, backend.region_name
    if kind == "ImportFromPhysicalId":
        stacks = cloudformation_backends[at[0]][at[1]].stacks
        if where not in stacks:
            invalid(f"the stack {where} does not exist")
        return str(stacks[where].template)
    bucket, key = place(where) or invalid(f"{where} is not the URL of an object in S3")
    s3 = s3_backends[at[0]][partition(at[1])]
    found = s3.get_object(bucket, key) if bucket in s3.buckets else None
    if found is None:
        invalid(f"S3 has no object at {where}")
    return str(found.value.decode())


def made(backend: ServiceCatalogBackend, parameters: Said, kind: str) -> Version:
    """A version of these ProvisioningArtifactProperties."""
    name, info = parameters.get("Name", ""), parameters.get("Info") or {}
    if " " in name:
        invalid(f"no spaces are allowed in the name of a provisioning artifact: {name}")
    text = template(backend, info)
    if not parameters.get("DisableTemplateValidation") and not is_template(text):
        invalid("Invalid templateBody. Please make sure that your template is valid")
    said = {"Id": new_id("pa-"), "Name": name, "Type": kind, **told(parameters, "Description", "Type")}
    shown = {"TemplateUrl": info["LoadTemplateFromURL"]} if "LoadTemplateFromURL" in info else dict(info)
    about = {"CreatedTime": utcnow(), "Active": True, "Guidance": "DEFAULT"}
    return Version({**said, **about}, shown, parameters)


def is_template(text: str) -> bool:
    try:
        found = Stack.parse_template(text)
    except Exception:  # of the parsers of YAML and of JSON, which have many
        return False
    return isinstance(found, dict) and isinstance(found.get("Resources"), dict) and bool(found["Resources"])


# ---- Products

_start_product = Product.__init__


def start_product(self: Product, **about: Any) -> None:
    """Product.__init__: moto gives ids that AWS gives to none."""
    _start_product(self, **{**about, "tags": None})
    self.id, self.tags = new_id("prod-"), about["tags"] or []
    if self.tags:
        self.backend._tag_resource(self.arn, self.tags)


@serves
def create_product(backend: ServiceCatalogBackend, asked: Said) -> Said:
    parameters = asked.get("ProvisioningArtifactParameters")
    first = made(backend, parameters, asked["ProductType"]) if parameters else None
    product = backend.create_product(
        asked["Name"], asked["Owner"], asked.get("Description"), asked.get("Distributor"),
        asked.get("SupportDescription"), asked.get("SupportEmail"), asked.get("SupportUrl"), asked["ProductType"],
        asked.get("Tags", []), parameters, asked["IdempotencyToken"], asked.get("SourceConnection"),
    )  # fmt: skip
    versions = versions_of(product)
    if first and not versions:
        versions[first.said["Id"]] = first
    detail = next(iter(versions.values())).said if versions else {}
    return {"ProductViewDetail": viewed(product), "ProvisioningArtifactDetail": detail, "Tags": product.tags}


def offer(backend: ServiceCatalogBackend, number: str, name: str) -> None:
    """A product with this id, without a version, in a portfolio: as if somebody had made it."""
    product = backend.create_product(
        name, "platform", None, None, None, None, None, "CLOUD_FORMATION_TEMPLATE", [], None
    )
    del backend.products[product.id]
    product.id = number
    backend.products[number] = product
    portfolio, _ = backend.create_portfolio(None, name, None, "platform", [], None)
    associate_product_with_portfolio(backend, {"ProductId": number, "PortfolioId": portfolio["Id"]})


def viewed(product: Product) -> Said:
    return {
        "ProductViewSummary": product.to_dict(),
        "Status": "AVAILABLE",
        "ProductARN": product.arn,
        "CreatedTime": product.created_time,
    }


def listed(versions: Iterable[Version], *more: str) -> list[Said]:
    return [told(version.said, "Id", "Name", "Description", "CreatedTime", *more) for version in versions]


@serves
def describe_product(backend: ServiceCatalogBackend, asked: Said) -> Said:
    """As users see it: without the versions that are not active."""
    product = product_of(backend, asked.get("Id", ""), asked.get("Name", ""))
    active = [version for version in versions_of(product).values() if version.said["Active"]]
    return {
        "ProductViewSummary": product.to_dict(),
        "ProvisioningArtifacts": listed(active, "Guidance"),
        "Budgets": [],
        "LaunchPaths": [],
    }


@serves
def describe_product_as_admin(backend: ServiceCatalogBackend, asked: Said) -> Said:
    product = product_of(backend, asked.get("Id", ""), asked.get("Name", ""))
    summaries = listed(versions_of(product).values())
    return {"ProductViewDetail": viewed(product), "ProvisioningArtifactSummaries": summaries, "Tags": product.tags}


@serves
def associate_product_with_portfolio(backend: ServiceCatalogBackend, asked: Said) -> Said:
    product = product_of(backend, asked["ProductId"])
    if asked["PortfolioId"] not in backend.portfolios:
        raise ResourceNotFoundException(f"Portfolio {asked['PortfolioId']} not found.")
    product.__dict__.setdefault("dpra_portfolios", {})[asked["PortfolioId"]] = True
    return {}


@serves
def list_portfolios_for_product(backend: ServiceCatalogBackend, asked: Said) -> Said:
    offering = product_of(backend, asked["ProductId"]).__dict__.get("dpra_portfolios", ())
    return {"PortfolioDetails": [backend.portfolios[one].to_dict() for one in offering if one in backend.portfolios]}


# ---- Versions


def answer(version: Version) -> Said:
    return {"ProvisioningArtifactDetail": version.said, "Info": version.info, "Status": version.status}


@serves
def create_provisioning_artifact(backend: ServiceCatalogBackend, asked: Said) -> Said:
    """Names need not be different: AWS's reference does not ask for it. A token is known for ever, also that of a
    version that was deleted: how long AWS knows it is not told."""
    product, token, parameters = product_of(backend, asked["ProductId"]), asked["IdempotencyToken"], asked["Parameters"]
    known: dict[str, Version] = product.__dict__.setdefault("dpra_tokens", {})
    if token not in known:
        known[token] = version = made(backend, parameters, product.product_type)
        versions_of(product)[version.said["Id"]] = version
    elif known[token].asked != parameters:
        invalid(f"the idempotency token {token} was used with other parameters")
    return answer(known[token])


@serves
def update_provisioning_artifact(backend: ServiceCatalogBackend, asked: Said) -> Said:
    version = version_of(product_of(backend, asked["ProductId"]), asked["ProvisioningArtifactId"])
    version.said |= told(asked, "Name", "Description", "Active", "Guidance")
    return answer(version)


@serves
def describe_provisioning_artifact(backend: ServiceCatalogBackend, asked: Said) -> Said:
    product = product_of(backend, asked.get("ProductId", ""), asked.get("ProductName", ""))
    version = version_of(product, asked.get("ProvisioningArtifactId", ""), asked.get("ProvisioningArtifactName", ""))
    if version.status == "CREATING":
        version.status = "AVAILABLE"
    return answer(version)


@serves
def list_provisioning_artifacts(backend: ServiceCatalogBackend, asked: Said) -> Said:
    product = product_of(backend, asked["ProductId"])
    return {"ProvisioningArtifactDetails": [version.said for version in versions_of(product).values()]}


@serves
def delete_provisioning_artifact(backend: ServiceCatalogBackend, asked: Said) -> Said:
    product = product_of(backend, asked["ProductId"])
    version = version_of(product, asked["ProvisioningArtifactId"])
    del versions_of(product)[version.said["Id"]]
    return {}


# ---- Rights


def rights(region: str, account: str, operation: str, asked: Said) -> Iterator[tuple[str, str, Context]]:
    """Each permission that a request needs: action, resource, and the tags of the product.

    Here a template is read and validated with the rights of the caller. AWS's reference tells that of
    cloudformation:GetTemplate only; its policy AWSServiceCatalogAdminFullAccess has cloudformation:ValidateTemplate."""
    backend: ServiceCatalogBackend = servicecatalog_backends[account][region]
    by_id, by_name = OF_PRODUCT.get(operation, ("", ""))
    number = str(asked.get(by_id, ""))
    if not number and (found := backend.lookup_by_name(str(asked.get(by_name, "")))):
        number = found.id
    target = arn(region, "catalog", account, f"product/{number}") if number else "*"
    tags = backend.tagger.get_tag_dict_for_resource(target)
    yield f"servicecatalog:{operation}", target, {f"aws:ResourceTag/{key}": value for key, value in tags.items()}
    parameters = asked.get("Parameters") or asked.get("ProvisioningArtifactParameters")
    info = parameters.get("Info") if isinstance(parameters, dict) else None
    if not isinstance(info, dict):
        return
    if stack := info.get("ImportFromPhysicalId"):
        yield "cloudformation:GetTemplate", str(stack), {}
    if where := place(str(info.get("LoadTemplateFromURL", ""))):
        yield "s3:GetObject", f"arn:{partition(region)}:s3:::{'/'.join(where)}", {}
    yield "cloudformation:ValidateTemplate", "*", {}


def mend() -> None:
    """Put them in place."""
    Product.__init__ = start_product
    for name, respond in OPERATIONS.items():
        setattr(ServiceCatalogResponse, name, respond)
