"""AWS AppConfig in the rehearsal's AWS, asked for by the real AWS CLI and boto3."""

import json
import subprocess
import sys

import pytest
from botocore.exceptions import ClientError

ALARM = "arn:aws:cloudwatch:eu-west-1:111111111111:alarm:errors"
FLAGS = {
    "version": "1",
    "flags": {"search": {"name": "Search", "attributes": {"limit": {"constraints": {"type": "number", "maximum": 9}}}}},
    "values": {"search": {"enabled": True, "limit": 5}},
}


def refusal(code, match=""):
    return pytest.raises(ClientError, match=f"\\({code}\\).*{match}")


class Configuration:
    """An application with an environment, a profile of flags and one of free form, and strategies."""

    def __init__(self, api, data):
        self.api, self.data = api, data
        self.application = api.create_application(Name="shop")["Id"]
        self.at = {"ApplicationId": self.application}
        self.environment = api.create_environment(**self.at, Name="prod", Monitors=[{"AlarmArn": ALARM}])["Id"]
        hosted = {**self.at, "LocationUri": "hosted"}
        self.flags = api.create_configuration_profile(**hosted, Name="flags", Type="AWS.AppConfig.FeatureFlags")["Id"]
        self.limits = api.create_configuration_profile(**hosted, Name="limits", Type="AWS.Freeform")["Id"]
        self.slow = api.create_deployment_strategy(
            Name="slow", DeploymentDurationInMinutes=20, FinalBakeTimeInMinutes=10, GrowthFactor=25, ReplicateTo="NONE"
        )["Id"]
        self.fast = api.create_deployment_strategy(Name="fast", DeploymentDurationInMinutes=0, GrowthFactor=100)["Id"]

    def version(self, document, profile="", **more):
        at = {**self.at, "ConfigurationProfileId": profile or self.limits}
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        made = self.api.create_hosted_configuration_version(
            **at, Content=content, **{"ContentType": "application/json", **more}
        )
        return made["VersionNumber"]

    def start(self, version, profile="", strategy="", **more):
        return self.api.start_deployment(
            **self.at, EnvironmentId=self.environment, ConfigurationProfileId=profile or self.limits,
            DeploymentStrategyId=strategy or self.slow, ConfigurationVersion=str(version), **more,
        )  # fmt: skip

    def look(self, number):
        return self.api.get_deployment(**self.at, EnvironmentId=self.environment, DeploymentNumber=number)

    def stop(self, number, **more):
        return self.api.stop_deployment(**self.at, EnvironmentId=self.environment, DeploymentNumber=number, **more)

    def complete(self, document, profile=""):
        number = self.start(self.version(document, profile), profile)["DeploymentNumber"]
        for _ in range(3):
            found = self.look(number)
        assert found["State"] == "COMPLETE"
        return number

    def session(self, profile="limits", **more):
        names = {"ApplicationIdentifier": "shop", "EnvironmentIdentifier": "prod"}
        started = self.data.start_configuration_session(**names, ConfigurationProfileIdentifier=profile, **more)
        return started["InitialConfigurationToken"]

    def latest(self, token):
        return self.data.get_latest_configuration(ConfigurationToken=token)

    def delivered(self, profile="limits"):
        return json.loads(self.latest(self.session(profile))["Configuration"].read())


@pytest.fixture
def shop(client):
    client("cloudwatch").put_metric_alarm(
        AlarmName="errors", Namespace="x", MetricName="y", ComparisonOperator="GreaterThanThreshold", Threshold=1,
        EvaluationPeriods=1, Period=60, Statistic="Sum",
    )  # fmt: skip
    made = Configuration(client("appconfig"), client("appconfigdata"))
    made.alarm = lambda state: client("cloudwatch").set_alarm_state(
        AlarmName="errors", StateValue=state, StateReason="test"
    )
    made.alarm("OK")
    return made


@pytest.fixture
def aws(cloud, tmp_path):
    """The real AWS CLI, of an account."""
    session = cloud.give("arn:aws:iam::111111111111:role/dpra-demo-beta", "test")
    environment = {
        "AWS_ACCESS_KEY_ID": session.access_key_id,
        "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
        "AWS_SESSION_TOKEN": session.session_token,
        "AWS_ENDPOINT_URL": cloud.url,
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_MAX_ATTEMPTS": "1",
        "HOME": str(tmp_path),
    }

    def aws(*words):
        command = [sys.executable, "-m", "awscli", *words]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert not done.returncode, done.stderr
        return json.loads(done.stdout or "{}")

    return aws


def test_the_aws_cli_makes_versions_deploys_them_and_gets_what_is_delivered(aws, tmp_path):
    application = aws("appconfig", "create-application", "--name", "shop")["Id"]
    at = ("--application-id", application)
    environment = ("--environment-id", aws("appconfig", "create-environment", *at, "--name", "prod")["Id"])
    hosted = (*at, "--name", "limits", "--location-uri", "hosted", "--type", "AWS.Freeform")
    profile = ("--configuration-profile-id", aws("appconfig", "create-configuration-profile", *hosted)["Id"])
    (tmp_path / "limits.json").write_text('{"most": 3}')
    label = ("--version-label", "first", "--latest-version-number", "0")
    content = ("--content", "fileb://limits.json", "--content-type", "application/json", *label, "out.json")
    made = aws("appconfig", "create-hosted-configuration-version", *at, *profile, *content)
    assert (made["VersionNumber"], made["VersionLabel"]) == (1, "first")
    assert (tmp_path / "out.json").read_text() == '{"most": 3}'
    aws("appconfig", "validate-configuration", *at, *profile, "--configuration-version", "first")
    strategy = ("--deployment-strategy-id", "AppConfig.AllAtOnce", "--latest-deployment-number", "0")
    started = aws(
        "appconfig", "start-deployment", *at, *environment, *profile, *strategy, "--configuration-version", "first"
    )
    assert (started["DeploymentNumber"], started["State"], started["VersionLabel"]) == (1, "DEPLOYING", "first")
    looks = [aws("appconfig", "get-deployment", *at, *environment, "--deployment-number", "1") for _ in range(2)]
    assert [look["State"] for look in looks] == ["BAKING", "COMPLETE"]
    [listed] = aws("appconfig", "list-deployments", *at, *environment)["Items"]
    assert (listed["State"], listed["PercentageComplete"]) == ("COMPLETE", 100.0)
    session = ("--application-identifier", "shop", "--environment-identifier", "prod")
    token = aws(
        "appconfigdata", "start-configuration-session", *session, "--configuration-profile-identifier", "limits"
    )["InitialConfigurationToken"]
    latest = aws("appconfigdata", "get-latest-configuration", "--configuration-token", token, "got.json")
    assert (latest["VersionLabel"], (tmp_path / "got.json").read_text()) == ("first", '{"most": 3}')
    name = f"arn:aws:appconfig:eu-west-1:111111111111:application/{application}/environment/{environment[1]}"
    aws("appconfig", "tag-resource", "--resource-arn", name, "--tags", "dpra:released=a b,more=1")
    aws("appconfig", "untag-resource", "--resource-arn", name, "--tag-keys", "more")
    assert aws("appconfig", "list-tags-for-resource", "--resource-arn", name) == {"Tags": {"dpra:released": "a b"}}


def test_a_deployment_is_complete_at_the_third_look_and_its_log_says_all_steps(shop, cloud):
    number = shop.start(shop.version({}))["DeploymentNumber"]
    looks = [shop.look(number) for _ in range(4)]
    assert [(one["State"], one["PercentageComplete"]) for one in looks] == [
        ("DEPLOYING", 25.0), ("BAKING", 100.0), ("COMPLETE", 100.0), ("COMPLETE", 100.0),
    ]  # fmt: skip
    events = looks[2]["EventLog"]
    updated = ["PERCENTAGE_UPDATED"] * 4
    assert [event["EventType"] for event in events] == [
        "DEPLOYMENT_COMPLETED", "BAKE_TIME_STARTED", *updated, "DEPLOYMENT_STARTED",
    ]  # fmt: skip
    minutes = [(event["OccurredAt"] - looks[0]["StartedAt"]).total_seconds() / 60 for event in reversed(events)]
    assert minutes == pytest.approx([0, 5, 10, 15, 20, 20, 30])
    assert 29 * 60 < cloud.ahead <= 30 * 60
