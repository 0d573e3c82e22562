"""CloudFormation resource types that moto does not have; a class of this module is one."""

import json
from typing import Any

from moto.apigatewayv2.models import apigatewayv2_backends
from moto.awslambda.models import lambda_backends
from moto.cloudformation import parsing
from moto.cloudwatch.models import cloudwatch_backends
from moto.core.common_models import CloudFormationModel
from moto.iam.models import iam_backends
from moto.s3.models import s3_backends
from moto.synthetics.models import synthetics_backends
from moto.utilities.utils import get_partition

# Where a function behind an API or a function URL answers instead of at amazonaws.com; the front sets it.
HTTP = {"base": "http://127.0.0.1:0/_dpra/http"}


class Resource:
    """What every type here shares: a physical id, attributes, and being made anew where a change is asked for."""

    type = ""
    name = ""  # the property that names it
    attributes: tuple[str, ...] = ()

    def __init__(self, physical_id: str, **values: str) -> None:
        self.physical_resource_id = physical_id
        self.values = values

    @classmethod
    def cloudformation_type(cls) -> str:
        return cls.type

    @classmethod
    def cloudformation_name_type(cls) -> str:
        return cls.name

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return attr in cls.attributes

    def get_cfn_attribute(self, attr: str) -> str:
        if attr not in self.values:
            raise NotImplementedError(f"{self.type} has no attribute {attr} here")
        return self.values[attr]

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_: Any
    ) -> Any:
        return cls.make(resource_name, cloudformation_json.get("Properties", {}), account_id, region_name)

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> Any:
        raise NotImplementedError

    def delete(self, account: str, region: str) -> None:
        raise NotImplementedError


class OIDCProvider(Resource, CloudFormationModel):
    type, attributes = "AWS::IAM::OIDCProvider", ("Arn",)

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> "OIDCProvider":
        provider = iam_backends[account][get_partition(region)].create_open_id_connect_provider(
            properties["Url"], properties.get("ThumbprintList", []), properties.get("ClientIdList", []), []
        )
        return cls(provider.arn, Arn=provider.arn)

    def delete(self, account: str, region: str) -> None:
        iam_backends[account][get_partition(region)].delete_open_id_connect_provider(self.physical_resource_id)


class Alarm(Resource, CloudFormationModel):
    type, name, attributes = "AWS::CloudWatch::Alarm", "AlarmName", ("Arn",)
    # What an alarm says when its metric has no data, which is all that a rehearsal can have.
    states = {"notBreaching": "OK", "breaching": "ALARM"}  # noqa: RUF012

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> "Alarm":
        backend = cloudwatch_backends[account][region]
        alarm = backend.put_metric_alarm(
            name=name,
            namespace=properties.get("Namespace", ""),
            metric_name=properties.get("MetricName", ""),
            comparison_operator=properties["ComparisonOperator"],
            evaluation_periods=int(properties["EvaluationPeriods"]),
            period=int(properties.get("Period", 60)),
            threshold=float(properties.get("Threshold", 0)),
            statistic=properties.get("Statistic", ""),
            description=properties.get("AlarmDescription", ""),
            dimensions=properties.get("Dimensions", []),
            alarm_actions=properties.get("AlarmActions", []),
            treat_missing_data=properties.get("TreatMissingData"),
        )
        state = cls.states.get(properties.get("TreatMissingData", ""), "INSUFFICIENT_DATA")
        backend.set_alarm_state(name, "No datapoints in a rehearsal", "{}", state)
        return cls(name, Arn=alarm.alarm_arn)

    def delete(self, account: str, region: str) -> None:
        cloudwatch_backends[account][region].delete_alarms([self.physical_resource_id])


class Canary(Resource, CloudFormationModel):
    type, name, attributes = "AWS::Synthetics::Canary", "Name", ("Id", "State")

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> "Canary":
        asked = {"VpcConfig": None, "ArtifactConfig": None, "BrowserConfigs": [], "RunConfig": {}} | properties
        canary = synthetics_backends[account][region].create_canary(
            name=name,
            code=asked["Code"],
            artifact_s3_location=asked["ArtifactS3Location"],
            execution_role_arn=asked["ExecutionRoleArn"],
            schedule=asked["Schedule"],
            run_config=asked["RunConfig"],
            success_retention_period_in_days=int(asked.get("SuccessRetentionPeriod", 31)),
            failure_retention_period_in_days=int(asked.get("FailureRetentionPeriod", 31)),
            runtime_version=asked["RuntimeVersion"],
            vpc_config=asked["VpcConfig"],
            resources_to_replicate_tags=[],
            provisioned_resource_cleanup=None,
            browser_configs=asked["BrowserConfigs"],
            tags={},
            artifact_config=asked["ArtifactConfig"],
        )
        canary.state = "RUNNING" if asked.get("StartCanaryAfterCreation") in (True, "true") else "READY"
        return cls(name, Id=canary.id, State=canary.state)

    def delete(self, account: str, region: str) -> None:
        synthetics_backends[account][region].canaries.pop(self.physical_resource_id, None)


class Api(Resource, CloudFormationModel):
    """An HTTP API by quick create: one function answers every route."""

    type, name, attributes = "AWS::ApiGatewayV2::Api", "Name", ("ApiEndpoint", "ApiId")

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> "Api":
        if "Target" not in properties:
            raise NotImplementedError("the rehearsal knows an HTTP API with a Target (quick create) only")
        function = lambda_backends[account][region].get_function(properties["Target"])
        api = apigatewayv2_backends[account][region].create_api(
            api_key_selection_expression="", cors_configuration="", description="", disable_schema_validation="",
            disable_execute_api_endpoint="", name=name, protocol_type=properties.get("ProtocolType", "HTTP"),
            route_selection_expression="", tags={}, version="",
        )  # fmt: skip
        api.api_endpoint = f"{HTTP['base']}/api/{account}/{region}/{function.function_name}"
        return cls(api.api_id, ApiId=api.api_id, ApiEndpoint=api.api_endpoint)

    def delete(self, account: str, region: str) -> None:
        apigatewayv2_backends[account][region].delete_api(self.physical_resource_id)


class FunctionUrl(Resource, CloudFormationModel):
    type, attributes = "AWS::Lambda::Url", ("FunctionUrl", "FunctionArn")

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> "FunctionUrl":
        function = lambda_backends[account][region].get_function(properties["TargetFunctionArn"])
        url = function.create_url_config({"AuthType": properties["AuthType"]})
        url.url = f"{HTTP['base']}/url/{account}/{region}/{function.function_name}/"
        return cls(function.function_arn, FunctionUrl=url.url, FunctionArn=function.function_arn)

    def delete(self, account: str, region: str) -> None:
        lambda_backends[account][region].get_function(self.physical_resource_id).delete_url_config()


class BucketPolicy(Resource, CloudFormationModel):
    type = "AWS::S3::BucketPolicy"

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> "BucketPolicy":
        policy = json.dumps(properties["PolicyDocument"], default=str).encode()
        s3_backends[account][get_partition(region)].put_bucket_policy(properties["Bucket"], policy)
        return cls(properties["Bucket"])

    def delete(self, account: str, region: str) -> None:
        s3_backends[account][get_partition(region)].delete_bucket_policy(self.physical_resource_id)


class Kept(Resource):
    """What only looks at an account: nothing of a rehearsal asks for more than that it is there."""

    attributes = ("Arn", "Id")

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> Any:
        service = cls.type.split("::")[1].lower()
        made = f"arn:{get_partition(region)}:{service}:{region}:{account}:{name}"
        return cls(made, Arn=made, Id=name)

    def delete(self, account: str, region: str) -> None:
        """Nothing is left of it."""


KEPT = (
    *("AWS::AccessAnalyzer::Analyzer", "AWS::Config::ConfigurationRecorder", "AWS::Config::DeliveryChannel"),
    *("AWS::GuardDuty::Detector", "AWS::Macie::Session", "AWS::SecurityHub::Hub", "AWS::SecurityHub::HubV2"),
)
KEPT_TYPES = [type(one.replace("::", ""), (Kept, CloudFormationModel), {"type": one}) for one in KEPT]


def register() -> None:
    """moto finds types by their classes, and remembers what it found: let it look again."""
    for cached in (parsing.get_model_list, parsing.get_model_map, parsing.get_name_type_map):
        cached.cache_clear()
