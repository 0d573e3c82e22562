"""Deploys the release by a change set, and asks the function whether it is there."""

import json
import os
from pathlib import Path

import boto3

release, region = Path(os.environ["RUNNER_TEMP"], "release"), os.environ["AWS_REGION"]
bucket, key = f"dpra-demo-111111111111-{region}", f"demo/{os.environ['SUM']}/package.zip"
boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=(release / "package.zip").read_bytes())
cloud = boto3.client("cloudformation")
names = {"StackName": "demo", "ChangeSetName": "release"}
parameters = {"ArtifactBucket": bucket, "ArtifactKey": key, "Environment": "beta"}
cloud.create_change_set(
    **names,
    ChangeSetType="CREATE",
    TemplateBody=(release / "template.yml").read_text(),
    Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
    Capabilities=["CAPABILITY_NAMED_IAM"],
    RoleARN="arn:aws:iam::111111111111:role/dpra-demo-beta-execution",
    Tags=[
        {"Key": "dpra:digest", "Value": os.environ["SUM"]},
        {"Key": "dpra:commit", "Value": os.environ["GITHUB_SHA"]},
    ],
)
cloud.execute_change_set(**names)
(stack,) = cloud.describe_stacks(StackName="demo")["Stacks"]
outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
answer = boto3.client("lambda").invoke(FunctionName=outputs["FunctionName"], Payload=json.dumps({"name": "Ada"}))
assert json.load(answer["Payload"]) == {"hello": "Ada", "from": "beta"}
