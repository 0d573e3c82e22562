"""AWS AppConfig in the rehearsal's AWS, asked for by the real AWS CLI and boto3."""

import json
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from dpra.rehearsal.faults import Fault, Pending
from dpra.rehearsal.mends.appconfig.api import OPERATIONS, models
from dpra.rehearsal.mends.appconfig.deployments import console_deploys
from dpra.rehearsal.mends.protocol import Problem, beyond

ALARM = "arn:aws:cloudwatch:eu-west-1:111111111111:alarm:errors"
FLAGS = {
    "version": "1",
    "flags": {"search": {"name": "Search", "attributes": {"limit": {"constraints": {"type": "number", "maximum": 9}}}}},
    "values": {"search": {"enabled": True, "limit": 5}},
}


def fits(http_response, parsed, model, **_):
    """What an operation answers is what its model says, but for 0 % of what has just begun and AWS's strategies."""
    if "Error" in parsed or model.output_shape is None:
        return
    said = {key: value for key, value in parsed.items() if key not in ("ResponseMetadata", "PercentageComplete")}
    report = ParamValidator().validate(said, model.output_shape).generate_report()
    wrong = [line for line in report.splitlines() if "PercentageComplete" not in line]
    wrong += [why for why in beyond(said, model.output_shape, "") if "Id is AppConfig." not in why]
    assert not wrong
    assert http_response.status_code == model.http["responseCode"]


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
        number = self.start(self.version(document, profile), profile, self.fast)["DeploymentNumber"]
        assert self.look(number)["State"] == "COMPLETE"
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
    for api in (made.api, made.data):
        api.meta.events.register("after-call.*.*", fits)
    made.alarm = lambda state: client("cloudwatch").set_alarm_state(
        AlarmName="errors", StateValue=state, StateReason="test"
    )
    made.alarm("OK")
    return made


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
    aws("appconfig", "tag-resource", "--resource-arn", name, "--tags", "dpra:released=a/b,more=1")
    aws("appconfig", "untag-resource", "--resource-arn", name, "--tag-keys", "more")
    assert aws("appconfig", "list-tags-for-resource", "--resource-arn", name) == {"Tags": {"dpra:released": "a/b"}}


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


@pytest.mark.parametrize(
    ("strategy", "states"), [("fast", ["COMPLETE"]), ("slow", ["DEPLOYING", "BAKING", "COMPLETE"])]
)
def test_looks_by_a_list_or_at_the_environment_count_too(shop, strategy, states):
    shop.start(shop.version({}), strategy=getattr(shop, strategy))
    at = {**shop.at, "EnvironmentId": shop.environment}
    assert [shop.api.list_deployments(**at)["Items"][0]["State"] for _ in states] == states
    shop.start(shop.version({}), strategy=getattr(shop, strategy))
    ready = [shop.api.get_environment(**at)["State"] for _ in states]
    assert ready == ["DEPLOYING"] * (len(states) - 1) + ["READY_FOR_DEPLOYMENT"]


def test_shares_grow_as_the_strategy_says(shop):
    strategy = "AppConfig.Canary10Percent20Minutes"
    number = shop.start(shop.version({}), strategy=strategy)["DeploymentNumber"]
    *_, found = (shop.look(number) for _ in range(3))
    said = [event["Description"] for event in reversed(found["EventLog"]) if event["EventType"] == "PERCENTAGE_UPDATED"]
    assert [text.split()[3] for text in said] == ["10.00%", "20.00%", "40.00%", "80.00%", "100.00%"]
    known = {one["Name"] for one in shop.api.list_deployment_strategies()["Items"]}
    assert known == {
        "slow", "fast", "AppConfig.AllAtOnce", "AppConfig.Linear50PercentEvery30Seconds",
        "AppConfig.Canary10Percent20Minutes", "AppConfig.Linear20PercentEvery6Minutes",
    }  # fmt: skip


@pytest.mark.parametrize("state", ["ALARM", "INSUFFICIENT_DATA"])
@pytest.mark.parametrize("looks", [0, 1, 2])
def test_an_alarm_of_a_monitor_rolls_back_what_runs(shop, looks, state):
    shop.complete({"is": "old"})
    number = shop.start(shop.version({"is": "new"}))["DeploymentNumber"]
    before = [shop.look(number)["State"] for _ in range(looks)]
    assert before == ["DEPLOYING", "BAKING"][:looks]
    shop.alarm(state)
    assert shop.look(number)["State"] == "ROLLING_BACK"
    shop.alarm("OK")  # it does not go on
    found = shop.look(number)
    assert found["State"] == "ROLLED_BACK"
    assert [event["EventType"] for event in found["EventLog"][:2]] == ["ROLLBACK_COMPLETED", "ROLLBACK_STARTED"]
    started = found["EventLog"][1]
    assert (started["TriggeredBy"], ALARM in started["Description"]) == ("CLOUDWATCH_ALARM", True)
    assert shop.api.get_environment(**shop.at, EnvironmentId=shop.environment)["State"] == "ROLLED_BACK"
    assert shop.delivered() == {"is": "old"}


def test_an_alarm_that_rings_already_lets_a_deployment_start_and_go_back(shop):
    shop.alarm("ALARM")
    number = shop.start(shop.version({}), strategy=shop.fast)["DeploymentNumber"]
    assert [shop.look(number)["State"] for _ in range(2)] == ["ROLLING_BACK", "ROLLED_BACK"]


def test_an_alarm_whose_actions_are_disabled_or_that_comes_after_the_end_changes_nothing(shop, client):
    client("cloudwatch").disable_alarm_actions(AlarmNames=["errors"])
    shop.alarm("ALARM")
    number = shop.complete({})
    client("cloudwatch").enable_alarm_actions(AlarmNames=["errors"])
    assert shop.look(number)["State"] == "COMPLETE"


def test_one_deployment_at_a_time_in_an_environment_whatever_its_profile(shop):
    number = shop.start(shop.version({}))["DeploymentNumber"]
    flags = shop.version(FLAGS, shop.flags)
    with refusal("ConflictException", "number 1 of the environment is in progress: DEPLOYING"):
        shop.start(flags, shop.flags)
    shop.look(number)
    shop.look(number)
    with refusal("ConflictException", "BAKING"):
        shop.start(flags, shop.flags)
    shop.look(number)
    assert shop.start(flags, shop.flags)["DeploymentNumber"] == 2


def test_fences_refuse_what_others_have_changed_meanwhile(shop):
    shop.complete({})
    with refusal("ConflictException", "LatestVersionNumber is 0, but the latest version is 1"):
        shop.version({}, LatestVersionNumber=0)
    assert shop.version({}, LatestVersionNumber=1) == 2
    with refusal("ConflictException", "LatestDeploymentNumber is 0, but the latest deployment is 1"):
        shop.start(2, LatestDeploymentNumber=0)
    assert shop.start(2, LatestDeploymentNumber=1)["DeploymentNumber"] == 2


def test_a_label_is_unique_in_its_profile_found_by_a_list_and_deployed_by(shop):
    labels = ["dpra-1", "dpra-2", "other"]
    for label in labels:
        shop.version({"label": label}, VersionLabel=label)
    with refusal("ConflictException", "dpra-1"):
        shop.version({}, VersionLabel="dpra-1")
    at = {**shop.at, "ConfigurationProfileId": shop.limits}
    for asked, found in (("dpra-2", [2]), ("dpra", []), ("dpra*", [2, 1]), (None, [3, 2, 1])):
        more = {"VersionLabel": asked} if asked else {}
        items = shop.api.list_hosted_configuration_versions(**at, **more)["Items"]
        assert [item["VersionNumber"] for item in items] == found
    started = shop.start("dpra-2")
    assert (started["ConfigurationVersion"], started["VersionLabel"]) == ("2", "dpra-2")


def test_lists_come_page_by_page_the_newest_deployment_first(shop):
    for number in range(5):
        shop.start(shop.version({"number": number}), strategy=shop.fast)
        shop.look(number + 1)
    at = {**shop.at, "EnvironmentId": shop.environment}
    pages = shop.api.get_paginator("list_deployments").paginate(**at, PaginationConfig={"PageSize": 2})
    assert [[one["DeploymentNumber"] for one in page["Items"]] for page in pages] == [[5, 4], [3, 2], [1]]


# ---- Stop and revert


def test_a_stopped_deployment_is_rolled_back(shop):
    shop.complete({"is": "old"})
    number = shop.start(shop.version({"is": "new"}))["DeploymentNumber"]
    assert shop.stop(number)["State"] == "ROLLING_BACK"
    found = shop.look(number)
    assert (found["State"], found["EventLog"][1]["TriggeredBy"]) == ("ROLLED_BACK", "USER")
    with refusal("BadRequestException", "ROLLED_BACK: it cannot be stopped"):
        shop.stop(number, AllowRevert=True)
    assert shop.delivered() == {"is": "old"}


def test_a_deployment_that_bakes_is_stopped_with_allow_revert_only(shop):
    number = shop.start(shop.version({}))["DeploymentNumber"]
    shop.look(number)
    assert shop.look(number)["State"] == "BAKING"
    with refusal("BadRequestException", "BAKING: it cannot be stopped without AllowRevert"):
        shop.stop(number)
    assert shop.stop(number, AllowRevert=True)["State"] == "ROLLING_BACK"
    assert shop.look(number)["State"] == "ROLLED_BACK"


def test_a_complete_deployment_is_reverted_and_what_was_before_is_delivered_again(shop):
    shop.complete({"is": "old"})
    session = shop.session()
    session = shop.latest(session)["NextPollConfigurationToken"]
    number = shop.complete({"is": "new"})
    shop.alarm("ALARM")  # a revert does not ask
    with refusal("BadRequestException", "COMPLETE: it cannot be stopped without AllowRevert"):
        shop.stop(number)
    assert shop.stop(number, AllowRevert=True)["State"] == "REVERTED"
    assert shop.look(number)["EventLog"][0]["EventType"] == "REVERT_COMPLETED"
    assert shop.delivered() == {"is": "old"}
    assert shop.latest(session)["Configuration"].read() == b""  # it has that
    with refusal("BadRequestException", "REVERTED"):
        shop.stop(number, AllowRevert=True)


@pytest.mark.parametrize(("hours", "passes"), [(71, True), (73, False)])
def test_a_deployment_can_be_reverted_for_72_hours(shop, cloud, client, hours, passes):
    number = shop.complete({})
    cloud.ahead += hours * 3600
    shop.api = client("appconfig")
    if passes:
        assert shop.stop(number, AllowRevert=True)["State"] == "REVERTED"
    else:
        with refusal("BadRequestException", "over 72 hours ago"):
            shop.stop(number, AllowRevert=True)


# ---- What the model and AppConfig refuse


@pytest.mark.parametrize(
    ("operation", "asked", "code", "why"),
    [
        ("create_environment", {"ApplicationId": "abcd", "Name": "x"}, "ResourceNotFoundException", "abcd"),
        ("create_application", {"Name": "x" * 65}, "BadRequestException", "Name has 65 characters"),
        ("create_application", {"Name": "x", "Tags": {"aws:a": "b"}}, "BadRequestException", "aws: prefixed"),
        ("get_deployment_strategy", {"DeploymentStrategyId": "Nope"}, "BadRequestException", "must satisfy"),
        ("delete_deployment_strategy", {"DeploymentStrategyId": "AppConfig.AllAtOnce"}, "BadRequestException", "own"),
        ("create_deployment_strategy", {"Name": "x", "DeploymentDurationInMinutes": 1441, "GrowthFactor": 1},
         "BadRequestException", "at most 1440"),
        ("create_deployment_strategy", {"Name": "x", "DeploymentDurationInMinutes": 1, "GrowthFactor": 1,
         "GrowthType": "ODD"}, "BadRequestException", "one of LINEAR, EXPONENTIAL"),
        ("list_applications", {"MaxResults": 51}, "BadRequestException", "MaxResults is 51"),
        ("list_extensions", {}, "NotImplemented", "ListExtensions"),
        ("tag_resource", {"ResourceArn": ALARM, "Tags": {}}, "ResourceNotFoundException", ALARM),
    ],
)  # fmt: skip
def test_a_request_that_the_model_refuses_is_refused(client, operation, asked, code, why):
    with refusal(code, why):
        getattr(client("appconfig"), operation)(**asked)


def test_a_request_without_what_it_requires_is_refused(client):
    api = client("appconfig")
    api.meta.events.register("before-call.appconfig.CreateApplication", lambda params, **_: params.update(body=b"{}"))
    with refusal("BadRequestException", 'Missing required parameter in input: "Name"'):
        api.create_application(Name="x")


def test_five_monitors_are_the_most(shop):
    with refusal("BadRequestException", "Monitors has 6 members: at most 5"):
        shop.api.create_environment(**shop.at, Name="x", Monitors=[{"AlarmArn": ALARM}] * 6)


def test_what_still_has_something_in_it_is_not_deleted(shop):
    profile = {**shop.at, "ConfigurationProfileId": shop.limits}
    number = shop.start(shop.version({}))["DeploymentNumber"]
    with refusal("BadRequestException", "there are still hosted configuration versions existing under it"):
        shop.api.delete_configuration_profile(**profile)
    with refusal("ConflictException", "a deployment in progress"):
        shop.api.delete_environment(**shop.at, EnvironmentId=shop.environment)
    with refusal("BadRequestException", "Cannot delete application"):
        shop.api.delete_application(**shop.at)
    shop.api.delete_hosted_configuration_version(**profile, VersionNumber=1)
    shop.api.delete_configuration_profile(**profile)
    for _ in range(3):
        shop.look(number)
    shop.api.delete_environment(**shop.at, EnvironmentId=shop.environment)
    shop.api.delete_configuration_profile(**shop.at, ConfigurationProfileId=shop.flags)
    shop.api.delete_application(**shop.at)
    assert shop.api.list_applications()["Items"] == []


# ---- Validators


def test_a_json_schema_refuses_a_version_when_it_is_validated_and_when_it_is_deployed(shop):
    schema = json.dumps({"type": "object", "properties": {"most": {"type": "integer", "maximum": 5}}})
    shop.api.update_configuration_profile(
        **shop.at, ConfigurationProfileId=shop.limits, Validators=[{"Type": "JSON_SCHEMA", "Content": schema}]
    )
    good, bad = shop.version({"most": 5}), shop.version({"most": 6})
    at = {**shop.at, "ConfigurationProfileId": shop.limits}
    shop.api.validate_configuration(**at, ConfigurationVersion=str(good))
    with refusal("BadRequestException", "most: 6 is greater than the maximum of 5") as refused:
        shop.api.validate_configuration(**at, ConfigurationVersion=str(bad))
    assert refused.value.response["Reason"] == "InvalidConfiguration"
    assert refused.value.response["Details"]["InvalidConfiguration"][0]["Location"] == "most"
    with refusal("BadRequestException", "most: 6"):
        shop.start(bad)
    assert shop.start(good)["DeploymentNumber"] == 1


def changed(**more):
    document = json.loads(json.dumps(FLAGS))
    document["values"]["search"] |= more
    return document


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"{", "no JSON"),
        ({"flags": {}}, "'version' is a required property"),
        ({**FLAGS, "more": 1}, "more"),
        ({"version": "1", "flags": {"Upper": {"name": "x"}}}, "Upper"),
        (changed(limit=10), "values/search/limit: 10 is more than the maximum 9"),
        (changed(limit="many"), "is no number"),
        (changed(other=1), "the flag has no attribute other"),
        (changed(limit={"a": 1}), "values/search/limit"),
        ({**FLAGS, "values": {"lost": {"enabled": True}}}, "values/lost: there is no such flag"),
        (changed(_variants=[{"enabled": True}]), "'name' is a required property"),
        (changed(_variants=[{"name": "x", "enabled": True, "attributeValues": {"limit": 10}}]), "_variants/x/limit"),
    ],
)  # fmt: skip
def test_a_document_of_flags_is_refused_as_it_is_made(shop, document, why):
    with refusal("BadRequestException", why):
        shop.version(document, shop.flags)


def test_flags_get_the_times_of_their_making_and_change(shop):
    at = {**shop.at, "ConfigurationProfileId": shop.flags}
    more = {**FLAGS["flags"], "new": {"name": "New"}}
    for document in (FLAGS, {**FLAGS, "flags": more}):
        shop.version(document, shop.flags)
    first, second = (
        json.loads(shop.api.get_hosted_configuration_version(**at, VersionNumber=number)["Content"].read())
        for number in (1, 2)
    )
    assert first["flags"]["search"].keys() == {*FLAGS["flags"]["search"], "_createdAt", "_updatedAt"}
    assert second["flags"]["search"] == first["flags"]["search"]
    assert second["values"]["search"] == first["values"]["search"]
    assert second["flags"]["new"]["_createdAt"] > first["flags"]["search"]["_createdAt"]


FUNCTION = """
import base64, json, boto3
def handler(event, context):
    said = json.loads(base64.b64decode(event["content"]))
    boto3.client("sts").get_caller_identity()  # the rehearsal answers meanwhile
    if said["most"] > 5 or event["uri"] != "hosted" or not event["configurationVersion"]:
        raise Exception("too much")
"""


def test_a_function_validates_if_appconfig_may_invoke_it(shop, client, put):
    put("validator", FUNCTION)
    functions = client("lambda")
    name = functions.create_function(
        FunctionName="check", Runtime="python3.13", Handler="app.handler", Timeout=20,
        Role="arn:aws:iam::111111111111:role/dpra-demo-beta-execution",
        Code={"S3Bucket": "dpra-demo-111111111111-eu-west-1", "S3Key": "release/validator.zip"},
    )["FunctionArn"]  # fmt: skip
    shop.api.update_configuration_profile(
        **shop.at, ConfigurationProfileId=shop.limits, Validators=[{"Type": "LAMBDA", "Content": name}]
    )
    good, bad = shop.version({"most": 5}), shop.version({"most": 6})
    with refusal("BadRequestException", "no AWS::Lambda::Permission lets appconfig.amazonaws.com invoke"):
        shop.start(good)
    functions.add_permission(
        FunctionName="check", StatementId="a", Action="lambda:InvokeFunction", Principal="appconfig.amazonaws.com"
    )
    with refusal("BadRequestException", "too much"):
        shop.start(bad)
    assert shop.start(good)["DeploymentNumber"] == 1


# ---- What is delivered


def test_a_token_is_good_once_and_nothing_new_is_an_empty_body(shop, cloud):
    shop.complete({"is": 1})
    token = shop.session()
    first = shop.latest(token)
    assert (first["ContentType"], first["Configuration"].read()) == ("application/json", b'{"is": 1}')
    with refusal("BadRequestException") as refused:
        shop.latest(token)
    assert refused.value.response["Details"] == {"InvalidParameters": {"ConfigurationToken": {"Problem": "Corrupted"}}}
    second = shop.latest(first["NextPollConfigurationToken"])
    assert second["Configuration"].read() == b""
    shop.complete({"is": 2})
    assert shop.latest(second["NextPollConfigurationToken"])["Configuration"].read() == b'{"is": 2}'


def test_a_client_that_polls_too_early_is_refused(shop, cloud):
    shop.complete({})
    token = shop.latest(shop.session(RequiredMinimumPollIntervalInSeconds=30))["NextPollConfigurationToken"]
    with refusal("BadRequestException"):
        shop.latest(token)
    cloud.ahead += 31
    assert shop.latest(token)["NextPollIntervalInSeconds"] == 30


def test_nothing_is_delivered_before_the_first_deployment_and_the_new_from_baking_on(shop):
    with refusal("ResourceNotFoundException", "nothing is deployed"):
        shop.session()
    number = shop.start(shop.version({"is": 1}, VersionLabel="one"))["DeploymentNumber"]
    shop.look(number)
    with refusal("ResourceNotFoundException"):
        shop.session()
    assert shop.look(number)["State"] == "BAKING"
    got = shop.latest(shop.session())
    assert (got["VersionLabel"], got["Configuration"].read()) == ("one", b'{"is": 1}')


def test_names_that_are_not_there_are_told(shop):
    with refusal("ResourceNotFoundException", "ConfigurationProfile not found: nope") as refused:
        shop.session("nope")
    assert refused.value.response["ReferencedBy"] == {"ConfigurationProfileIdentifier": "nope"}


def test_flags_are_delivered_as_values_and_attributes_of_enabled_ones_only(shop):
    document = {**FLAGS, "flags": {**FLAGS["flags"], "off": {"name": "Off"}, "silent": {"name": "Silent"}}}
    document["values"] = {**FLAGS["values"], "off": {"enabled": False}}
    shop.complete(document, shop.flags)
    expected = {"search": {"enabled": True, "limit": 5}, "off": {"enabled": False}, "silent": {"enabled": False}}
    assert shop.delivered("flags") == expected
    shop.complete(changed(enabled=False), shop.flags)
    assert shop.delivered("flags") == {"search": {"enabled": False}}


def test_a_flag_with_variants_is_delivered_as_ion_for_the_agent(shop):
    document = json.loads(json.dumps(FLAGS))
    document["flags"]["plain"] = {"name": "Plain"}
    staff = {"name": "staff", "enabled": True, "rule": '(eq $group "staff")', "attributeValues": {"limit": 9}}
    document["values"] = {"search": {"_variants": [staff, {"name": "default", "enabled": False}]}}
    shop.complete(document, shop.flags)
    got = shop.latest(shop.session("flags"))
    assert got["ContentType"] == "application/ion; type=AWS.AppConfig.FeatureFlags"
    assert got["Configuration"].read().decode().splitlines() == [
        """'search'::[[(eq $group "staff"), '''{"_variant": "staff", "enabled": true, "limit": 9}'''], """
        """'''{"_variant": "default", "enabled": false}''']""",
        """'plain'::'''{"enabled": false}'''""",
    ]


# ---- CloudFormation

TEMPLATE = """
Parameters:
  Most: {Type: String, Default: "5"}
  Bake: {Type: String, Default: "10"}
Resources:
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties: {AlarmName: errors, ComparisonOperator: GreaterThanThreshold, Threshold: 1, EvaluationPeriods: 1,
      TreatMissingData: notBreaching}
  Application:
    Type: AWS::AppConfig::Application
    Properties: {Name: shop, Tags: [{Key: team, Value: checkout}]}
  Environment:
    Type: AWS::AppConfig::Environment
    Properties:
      ApplicationId: !Ref Application
      Name: prod
      Monitors: [{AlarmArn: !GetAtt Alarm.Arn}]
  Limits:
    Type: AWS::AppConfig::ConfigurationProfile
    Properties:
      ApplicationId: !Ref Application
      Name: limits
      LocationUri: hosted
      Validators: [{Type: JSON_SCHEMA, Content: !Sub '{"properties": {"most": {"maximum": ${Most}}}}'}]
  Strategy:
    Type: AWS::AppConfig::DeploymentStrategy
    Properties: {Name: slow, DeploymentDurationInMinutes: "20", FinalBakeTimeInMinutes: !Ref Bake, GrowthFactor: 25,
      ReplicateTo: NONE}
Outputs:
  Application: {Value: !GetAtt Application.ApplicationId}
  Environment: {Value: !GetAtt Environment.EnvironmentId}
  Limits: {Value: !GetAtt Limits.ConfigurationProfileId}
  Strategy: {Value: !Ref Strategy}
"""


def test_a_stack_makes_changes_and_removes_what_it_says(stack, client):
    assert stack.deploy(TEMPLATE) == "CREATE_COMPLETE"
    api, made = client("appconfig"), stack.outputs()
    at = {"ApplicationId": made["Application"]}
    environment = {**at, "EnvironmentId": made["Environment"]}
    assert api.get_environment(**environment)["Monitors"] == [{"AlarmArn": ALARM}]
    strategy = api.get_deployment_strategy(DeploymentStrategyId=made["Strategy"])
    assert (strategy["DeploymentDurationInMinutes"], strategy["FinalBakeTimeInMinutes"]) == (20, 10)
    profile = {**at, "ConfigurationProfileId": made["Limits"]}
    api.create_hosted_configuration_version(**profile, Content=b"{}", ContentType="application/json")

    unwatched = TEMPLATE.replace("      Monitors: [{AlarmArn: !GetAtt Alarm.Arn}]\n", "")
    assert stack.deploy(unwatched, Most="7", Bake="0") == "UPDATE_COMPLETE"
    assert stack.outputs() == made  # nothing was replaced
    assert api.get_environment(**environment)["Monitors"] == []
    assert '"maximum": 7' in api.get_configuration_profile(**profile)["Validators"][0]["Content"]
    assert api.get_deployment_strategy(DeploymentStrategyId=made["Strategy"])["FinalBakeTimeInMinutes"] == 0

    assert stack.deploy(TEMPLATE.replace("Name: slow", "Name: slower")) == "UPDATE_COMPLETE"
    assert stack.outputs()["Strategy"] != made["Strategy"]
    assert stack.outputs()["Environment"] == made["Environment"]
    known = [one["Name"] for one in api.list_deployment_strategies()["Items"] if "AppConfig" not in one["Id"]]
    assert known == ["slower"]  # the old one is gone

    rest = (
        TEMPLATE[: TEMPLATE.index("  Strategy:")]
        + TEMPLATE[TEMPLATE.index("Outputs:") : TEMPLATE.index("  Strategy: {V")]
    )
    assert stack.deploy(rest) == "UPDATE_COMPLETE"
    with refusal("ResourceNotFoundException"):
        api.get_deployment_strategy(DeploymentStrategyId=made["Strategy"])


def test_a_profile_with_versions_outlives_its_stack_s_update(stack, client):
    """As AWS does it: what cannot be deleted in the cleanup stays."""
    stack.deploy(TEMPLATE)
    made, api = stack.outputs(), client("appconfig")
    profile = {"ApplicationId": made["Application"], "ConfigurationProfileId": made["Limits"]}
    api.create_hosted_configuration_version(**profile, Content=b"{}", ContentType="application/json")
    start, end = TEMPLATE.index("  Limits:"), TEMPLATE.index("  Strategy:")
    without = TEMPLATE[:start] + TEMPLATE[end : TEMPLATE.index("Outputs:")]
    assert stack.deploy(without) == "UPDATE_COMPLETE"
    assert "there are still hosted configuration versions" in stack.failures()["Limits"]
    assert api.get_configuration_profile(**profile)["Name"] == "limits"


def test_a_stack_s_tags_reach_its_resources_and_leave_the_tags_of_others(stack, client):
    stack.deploy(TEMPLATE, tags={"dpra:commit": "a", "old": "1"})
    api, made = client("appconfig"), stack.outputs()
    base = f"arn:aws:appconfig:eu-west-1:111111111111:application/{made['Application']}"
    name = f"{base}/environment/{made['Environment']}"
    api.tag_resource(ResourceArn=name, Tags={"dpra:released": "x"})

    def tags(arn):
        found = api.list_tags_for_resource(ResourceArn=arn)["Tags"]
        return {key: value for key, value in found.items() if not key.startswith("aws:cloudformation:")}

    assert tags(base) == {"team": "checkout", "dpra:commit": "a", "old": "1"}
    assert tags(name) == {"dpra:released": "x", "dpra:commit": "a", "old": "1"}
    assert stack.deploy(TEMPLATE, tags={"dpra:commit": "b"}) == "UPDATE_COMPLETE"
    assert tags(name) == {"dpra:released": "x", "dpra:commit": "b"}
    strategy = f"arn:aws:appconfig:eu-west-1:111111111111:deploymentstrategy/{made['Strategy']}"
    assert tags(strategy) == {"dpra:commit": "b"}
    assert api.list_tags_for_resource(ResourceArn=strategy)["Tags"]["aws:cloudformation:stack-name"] == "demo"


@pytest.mark.parametrize(
    ("old", "new", "name", "why"),
    [
        ("ReplicateTo: NONE", "Description: x", "Strategy", "required key [ReplicateTo] not found"),
        ("Name: prod", "Nome: prod", "Environment", "unsupported property Nome"),
        ("GrowthFactor: 25", "GrowthFactor: 250", "Strategy", "GrowthFactor is 250.0: at most 100"),
    ],
)
def test_a_resource_that_appconfig_refuses_fails_its_stack(stack, old, new, name, why):
    assert stack.deploy(TEMPLATE.replace(old, new)) == "ROLLBACK_COMPLETE"
    assert why in stack.failures()[name]


def test_a_failed_update_brings_the_old_values_back(stack, client):
    stack.deploy(TEMPLATE, Bake="10")
    made = stack.outputs()
    broken = TEMPLATE.replace("Outputs:", "  Wrong: {Type: AWS::Madeup::Thing}\nOutputs:")
    assert stack.deploy(broken, Bake="0") == "UPDATE_ROLLBACK_COMPLETE"
    found = client("appconfig").get_deployment_strategy(DeploymentStrategyId=made["Strategy"])
    assert found["FinalBakeTimeInMinutes"] == 10


DEPLOYED = TEMPLATE.replace(
    "Outputs:",
    """  Version:
    Type: AWS::AppConfig::HostedConfigurationVersion
    Properties: {ApplicationId: !Ref Application, ConfigurationProfileId: !Ref Limits, Content: '{"most": 3}',
      ContentType: application/json}
  Deployment:
    Type: AWS::AppConfig::Deployment
    Properties: {ApplicationId: !Ref Application, EnvironmentId: !Ref Environment, ConfigurationProfileId: !Ref Limits,
      ConfigurationVersion: !Ref Version, DeploymentStrategyId: !Ref Strategy}
Outputs:
  State: {Value: !GetAtt Deployment.State}
""",
)


def test_a_stack_waits_for_its_deployment_and_fails_with_it(stack, client):
    assert stack.deploy(DEPLOYED) == "CREATE_COMPLETE"
    assert stack.outputs()["State"] == "COMPLETE"
    client("cloudwatch").set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="test")
    again = DEPLOYED.replace("DeploymentStrategyId: !Ref Strategy", "DeploymentStrategyId: AppConfig.AllAtOnce")
    assert stack.deploy(again) == "UPDATE_ROLLBACK_COMPLETE"
    assert "Deployment ROLLED_BACK" in stack.failures()["Deployment"]


# ---- What a role may do


@pytest.fixture
def may(shop, cloud, client):
    """Do something with a role that has these statements."""

    def may(*statements):
        iam, document = client("iam"), {"Version": "2012-10-17", "Statement": list(statements)}
        name = f"role-{len(cloud.keys)}"
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName="x", PolicyDocument=json.dumps(document))
        other = Configuration.__new__(Configuration)
        other.__dict__ |= shop.__dict__
        other.api, other.data = client("appconfig"), client("appconfigdata")
        for api in (other.api, other.data):
            cloud.roles[api._request_signer._credentials.access_key] = role
        return other

    return may


def allow(*actions, resource, **more):
    return {"Effect": "Allow", "Action": [f"appconfig:{action}" for action in actions], "Resource": resource, **more}


BASE = "arn:aws:appconfig:eu-west-1:111111111111"


def test_a_deployment_needs_the_application_the_environment_the_profile_and_the_strategy(shop, may):
    version, application = shop.version({}), f"{BASE}:application/{shop.application}"
    targets = {
        "application": application,
        "environment": f"{application}/environment/{shop.environment}",
        "profile": f"{application}/configurationprofile/{shop.limits}",
        "strategy": f"{BASE}:deploymentstrategy/{shop.slow}",
    }
    for missing, target in targets.items():
        allowed = [one for name, one in targets.items() if name != missing]
        with refusal("AccessDenied", f"appconfig:StartDeployment on resource: {target}"):
            may(allow("StartDeployment", resource=allowed)).start(version)
    assert may(allow("StartDeployment", resource=list(targets.values()))).start(version)
    with refusal("AccessDenied", f"StopDeployment on resource: {targets['environment']}/deployment/1"):
        may(allow("StopDeployment", resource=[application, targets["environment"]])).stop(1)
    may(allow("StopDeployment", resource=f"{application}*")).stop(1)


def test_each_operation_asks_for_its_own_action_and_resource(shop, may):
    application = f"{BASE}:application/{shop.application}"
    profile = {**shop.at, "ConfigurationProfileId": shop.limits}
    inside = [application, f"{application}/configurationprofile/{shop.limits}"]
    bound = may(allow("CreateHostedConfigurationVersion", "ListHostedConfigurationVersions", resource=inside))
    assert bound.version({}) == 1
    assert bound.api.list_hosted_configuration_versions(**profile)["Items"]
    with refusal("AccessDenied", f"configurationprofile/{shop.flags}"):
        bound.version(FLAGS, shop.flags)
    with refusal("AccessDenied", "GetHostedConfigurationVersion"):
        bound.api.get_hosted_configuration_version(**profile, VersionNumber=1)
    with refusal("AccessDenied", r"appconfig:ListApplications on resource: \*"):
        bound.api.list_applications()
    with refusal("AccessDenied", r"appconfig:CreateApplication on resource: \*"):
        bound.api.create_application(Name="x")


def test_a_session_is_of_one_configuration_whether_named_or_not(shop, may):
    shop.complete({"is": 1})
    one = f"{BASE}:application/{shop.application}/environment/{shop.environment}/configuration/{shop.limits}"
    reader = may(allow("StartConfigurationSession", "GetLatestConfiguration", resource=one))
    assert reader.delivered() == {"is": 1}
    with refusal("AccessDenied", f"configuration/{shop.flags}"):
        reader.session("flags")
    with refusal("AccessDenied", f"GetLatestConfiguration on resource: {one}"):
        may(allow("StartConfigurationSession", resource=one)).delivered()


def test_tags_of_the_resource_and_of_the_request_decide(shop, may):
    name = f"{BASE}:application/{shop.application}/environment/{shop.environment}"
    of_team = {"Condition": {"StringEquals": {"aws:ResourceTag/team": "checkout"}}}
    bound = may(allow("TagResource", resource=f"{BASE}:*", **of_team))
    with refusal("AccessDenied", "TagResource"):
        bound.api.tag_resource(ResourceArn=name, Tags={"a": "b"})
    shop.api.tag_resource(ResourceArn=name, Tags={"team": "checkout"})
    bound.api.tag_resource(ResourceArn=name, Tags={"a": "b"})
    only = {"Condition": {"StringLike": {"aws:RequestTag/team": "check*"}}}
    other = may(allow("TagResource", resource=name, **only))
    other.api.tag_resource(ResourceArn=name, Tags={"team": "checkout"})
    with refusal("AccessDenied"):
        other.api.tag_resource(ResourceArn=name, Tags={"team": "search"})
    keys = {"Condition": {"ForAllValues:StringLike": {"aws:TagKeys": "dpra:*"}}}
    limited = may(allow("TagResource", "UntagResource", resource=name, **keys))
    limited.api.tag_resource(ResourceArn=name, Tags={"dpra:released": "x"})
    limited.api.untag_resource(ResourceArn=name, TagKeys=["dpra:released"])
    with refusal("AccessDenied"):
        limited.api.tag_resource(ResourceArn=name, Tags={"dpra:released": "x", "team": "search"})


def test_a_role_that_watches_alarms_must_be_passed_by_the_role_of_cloudformation(stack, client):
    role = "arn:aws:iam::111111111111:role/dpra-demo-watcher"
    template = TEMPLATE.replace("!GetAtt Alarm.Arn}", f"!GetAtt Alarm.Arn, AlarmRoleArn: {role}}}")
    iam = client("iam")
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "cloudformation.amazonaws.com"}}],
    }
    acting = iam.create_role(RoleName="acting", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "appconfig:*", "Resource": "*"}]}
    iam.put_role_policy(RoleName="acting", PolicyName="x", PolicyDocument=json.dumps(policy))
    create = stack.cloud.create_change_set
    stack.cloud.create_change_set = lambda **asked: create(**asked, RoleARN=acting)
    assert stack.deploy(template) == "ROLLBACK_COMPLETE"
    assert f"iam:PassRole on resource: {role}" in stack.failures()["Environment"]


# ---- Faults, and somebody else


@pytest.mark.parametrize(
    ("fault", "states", "by"),
    [
        (Fault("alarm", "errors@deploy", job="prod", name="errors", state="ALARM", moment="deploy"),
         ["ROLLING_BACK", "ROLLED_BACK"], "CLOUDWATCH_ALARM"),
        (Fault("fail", "prod", job="prod"), ["ROLLING_BACK", "ROLLED_BACK"], "INTERNAL_ERROR"),
    ],
)  # fmt: skip
def test_a_fault_hits_the_deployment_that_the_deploy_tool_says_it_changes_by(
    shop, cloud, plan, client, fault, states, by
):
    version = shop.version({})
    deployer = replace(plan.deployer, changes=("appconfig:StartDeployment",))
    shop.api = client("appconfig")
    cloud.callers[shop.api._request_signer._credentials.access_key] = {"job": "prod", "run_id": "1"}
    cloud.faults["1"] = pending = Pending([fault], lambda _: None, replace(plan, deployer=deployer))
    number = shop.start(version)["DeploymentNumber"]
    assert [one for _, one in pending.happened] == [fault]
    looks = [shop.look(number) for _ in range(2)]
    assert [look["State"] for look in looks] == states
    assert looks[0]["EventLog"][0]["TriggeredBy"] == by
    shop.alarm("OK")
    again = shop.start(version)["DeploymentNumber"]
    assert [shop.look(again)["State"] for _ in range(3)][-1] == "COMPLETE"


def test_somebody_in_the_console_deploys_a_change_to_the_end(shop):
    shop.complete(FLAGS, shop.flags)
    change = {"values": {"search": {"limit": 7}}}
    number = console_deploys("111111111111", "eu-west-1", "prod", "flags", change, complete=True)
    found = shop.look(number)
    assert (found["State"], found["ConfigurationVersion"]) == ("COMPLETE", "2")
    assert "VersionLabel" not in found
    assert shop.delivered("flags") == {"search": {"enabled": True, "limit": 7}}
    with pytest.raises(Problem, match="more than the maximum"):
        console_deploys("111111111111", "eu-west-1", "prod", "flags", {"values": {"search": {"limit": 10}}}, True)
    with pytest.raises(KeyError, match="nowhere"):
        console_deploys("111111111111", "eu-west-1", "nowhere", "flags", change, complete=True)


def test_a_deployment_of_the_console_goes_on_by_the_clock_alone(shop, cloud, client):
    shop.complete({"is": "old", "more": {"a": 1}})
    change = {"is": "new", "more": {"b": 2}}
    number = console_deploys("111111111111", "eu-west-1", "prod", "limits", change, complete=False)
    assert [shop.look(number)["State"] for _ in range(9)] == ["DEPLOYING"] * 9
    with refusal("ConflictException"):
        shop.start(1)
    cloud.ahead += 3600
    shop.api, shop.data = client("appconfig"), client("appconfigdata")
    assert shop.look(number)["State"] == "COMPLETE"
    assert shop.delivered() == {"is": "new", "more": {"a": 1, "b": 2}}


def test_every_operation_that_deliveries_need_is_there():
    missing = {"Extension", "Experiment", "AccountSettings"}
    model = {name for name in models() if not any(part in name for part in missing)}
    assert model - OPERATIONS.keys() == {"GetConfiguration"}  # which AWS has deprecated
