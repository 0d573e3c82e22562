"""Service Catalog's types of CloudFormation, and the handle that is nothing; a class of this module is one.

Not known here: updates, which make a thing anew, and what a launch does with the role of its constraint."""

from typing import Any

from moto.core.common_models import CloudFormationModel
from moto.iam.models import iam_backends
from moto.servicecatalog.models import servicecatalog_backends

from dpra.names import partition

from .resource_types import Resource
from .service_catalog import associate_product_with_portfolio, create_product, invalid, product_of

SERVICE = "servicecatalog.amazonaws.com"


class Handle(Resource, CloudFormationModel):
    type = "AWS::CloudFormation::WaitConditionHandle"

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> "Handle":
        return cls(f"https://cloudformation-waitcondition-{region}.s3.{region}.amazonaws.com/{name}")

    def delete(self, account: str, region: str) -> None:
        pass


class Portfolio(Resource, CloudFormationModel):
    type, attributes = "AWS::ServiceCatalog::Portfolio", ("PortfolioName",)

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> "Portfolio":
        made, _ = servicecatalog_backends[account][region].create_portfolio(
            *(None, properties["DisplayName"], properties.get("Description"), properties["ProviderName"], [], None)
        )
        return cls(made["Id"], PortfolioName=properties["DisplayName"])

    def delete(self, account: str, region: str) -> None:
        servicecatalog_backends[account][region].portfolios.pop(self.physical_resource_id)


class Product(Resource, CloudFormationModel):
    type, attributes = "AWS::ServiceCatalog::CloudFormationProduct", ("ProductName",)

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> "Product":
        about: dict[str, Any] = {key: properties[key] for key in ("Name", "Owner", "Description") if key in properties}
        [version] = properties["ProvisioningArtifactParameters"]
        kind = "CLOUD_FORMATION_TEMPLATE"
        asked = {"ProductType": kind, "ProvisioningArtifactParameters": {**version, "Type": kind}}
        made = create_product(servicecatalog_backends[account][region], {**about, **asked, "IdempotencyToken": name})
        product = made["ProductViewDetail"]["ProductViewSummary"]
        return cls(str(product["ProductId"]), ProductName=properties["Name"])

    def delete(self, account: str, region: str) -> None:
        servicecatalog_backends[account][region].products.pop(self.physical_resource_id)


class Association(Resource, CloudFormationModel):
    type = "AWS::ServiceCatalog::PortfolioProductAssociation"

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> "Association":
        associate_product_with_portfolio(servicecatalog_backends[account][region], properties)
        return cls(f"{properties['PortfolioId']}|{properties['ProductId']}")

    def delete(self, account: str, region: str) -> None:
        portfolio, product = self.physical_resource_id.split("|")
        offering = product_of(servicecatalog_backends[account][region], product).__dict__["dpra_portfolios"]
        offering.pop(portfolio, None)


class LaunchRole(Resource, CloudFormationModel):
    """The product must be in the portfolio, and the role must trust Service Catalog."""

    type = "AWS::ServiceCatalog::LaunchRoleConstraint"

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> "LaunchRole":
        product = product_of(servicecatalog_backends[account][region], properties["ProductId"])
        if properties["PortfolioId"] not in product.__dict__.get("dpra_portfolios", ()):
            invalid(f"product {product.id} is not in portfolio {properties['PortfolioId']}")
        role = iam_backends[account][partition(region)].get_role_by_arn(properties["RoleArn"])
        if SERVICE not in role.assume_role_policy_document:
            invalid(f"Service Catalog cannot assume {properties['RoleArn']}")
        return cls(f"cons-{product.id.removeprefix('prod-')}")

    def delete(self, account: str, region: str) -> None:
        pass
