"""AppConfig: releases there and back, by the real CLI against the rehearsal's AWS, in which deployments take time."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from .conftest import ACCOUNT, ONE, REGION, TWO, Bench, failed, stop

THREE = "3" * 40
TEMPLATE = """
Parameters: {Environment: {Type: String}}
Resources:
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties: {AlarmName: errors, Namespace: shop, MetricName: errors, Statistic: Sum, Period: 60,
      EvaluationPeriods: 1, Threshold: 1, ComparisonOperator: GreaterThanThreshold, TreatMissingData: notBreaching}
  Application: {Type: AWS::AppConfig::Application, Properties: {Name: shop}}
  Place:
    Type: AWS::AppConfig::Environment
    Properties: {ApplicationId: !Ref Application, Name: !Ref Environment, Monitors: [{AlarmArn: !GetAtt Alarm.Arn}]}
  Flags:
    Type: AWS::AppConfig::ConfigurationProfile
    Properties: {ApplicationId: !Ref Application, Name: flags, LocationUri: hosted, Type: AWS.AppConfig.FeatureFlags}
  Limits:
    Type: AWS::AppConfig::ConfigurationProfile
    Properties: {ApplicationId: !Ref Application, Name: limits, LocationUri: hosted, Type: AWS.Freeform}
  Gradual:
    Type: AWS::AppConfig::DeploymentStrategy
    Properties: {Name: shop-gradual, DeploymentDurationInMinutes: 20, GrowthFactor: 50, FinalBakeTimeInMinutes: 10,
      ReplicateTo: NONE}
  AtOnce:
    Type: AWS::AppConfig::DeploymentStrategy
    Properties: {Name: shop-at-once, DeploymentDurationInMinutes: 0, GrowthFactor: 100, FinalBakeTimeInMinutes: 0,
      ReplicateTo: NONE}
Outputs: {Name: {Value: !Ref Application}}
"""
PROFILES = [
    {"name": "flags", "type": "AWS.AppConfig.FeatureFlags", "content-type": "application/json", "file": "flags.json"},
    {"name": "limits", "type": "AWS.Freeform", "content-type": "application/json", "file": "limits.json"},
]


def flags(**enabled: bool) -> str:
    """A compiled document: a flag's value is on or off, with a limit and a variant for staff."""
    attributes = {"limit": {"constraints": {"type": "number"}}}
    document = {"version": "1", "flags": {name: {"name": name, "attributes": attributes} for name in enabled}}
    document["values"] = {name: {"enabled": on, "limit": 10} for name, on in enabled.items()}
    return json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n"


class Switches:
    """A component with flags and limits, and somebody at the console of its account."""

    def __init__(self, bench: Bench, cloud: Any, client: Callable[[str], Any]) -> None:
        self.bench, self.cloud, self.client = bench, cloud, client
        bench.use("appconfig", stack="shop")

    def release(self, commit: str, document: str, limit: int = 5, template: str = TEMPLATE) -> str:
        files = {"configuration/index.json": json.dumps({"schema": 1, "environments": ["gamma"], "profiles": PROFILES})}
        files |= {
            "configuration/gamma/flags.json": document,
            "configuration/gamma/limits.json": f'{{"most":{limit}}}\n',
        }
        return self.bench.release(commit, files, template)

    @property
    def place(self) -> Any:
        import appconfig

        found = appconfig.look(self.bench.target)
        assert found
        return found

    @property
    def states(self) -> list[tuple[int, str, str]]:
        """Number, profile and state of each deployment, the first one first."""
        one = self.place
        return [(d["DeploymentNumber"], d["ConfigurationName"], d["State"]) for d in reversed(one.deployments)]

    def deployed(self, profile: str = "flags") -> Any:
        """What clients get, by a session as an application has it."""
        data, one = self.client("appconfigdata"), self.place
        about = {"ApplicationIdentifier": one.application, "EnvironmentIdentifier": one.environment}
        token = data.start_configuration_session(**about, ConfigurationProfileIdentifier=profile)
        answer = data.get_latest_configuration(ConfigurationToken=token["InitialConfigurationToken"])
        return json.loads(answer["Configuration"].read())

    def console(self, change: dict[str, Any], profile: str = "flags", complete: bool = True) -> int:
        from dpra.rehearsal.mends.appconfig.deployments import console_deploys

        return int(console_deploys(ACCOUNT, REGION, "gamma", profile, change, complete))

    def alarm(self, state: str) -> None:
        self.client("cloudwatch").set_alarm_state(AlarmName="errors", StateValue=state, StateReason="a test")

    def hours_pass(self, hours: float) -> None:
        self.cloud.ahead += hours * 3600

    def off(self, digest: str, flag: str, commit: str = ONE) -> bool:
        import deployment

        change = deployment.Change(self.bench.job.workspace / digest, digest, commit, lambda: None, True, at_once=True)
        return bool(self.bench.tool.switch_off(self.bench.target, change, flag))

    @property
    def offs(self) -> dict[str, str]:
        return dict(self.place.offs)


def given(cloud: Any, server: dict[str, str], role: str, of_pipeline: bool = False) -> dict[str, str]:
    """The environment of somebody with a role in the rehearsal's AWS; the session has no end, since hours pass here."""
    arn = f"arn:aws:iam::{ACCOUNT}:{role}"
    session = cloud.give(arn, "test")
    cloud.ends[session.access_key_id] = float("inf")
    if of_pipeline:
        cloud.roles[session.access_key_id] = arn  # its policies are asked
    return {
        **server,
        "AWS_ENDPOINT_URL": cloud.url,
        "AWS_ACCESS_KEY_ID": session.access_key_id,
        "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
        "AWS_SESSION_TOKEN": session.session_token,
    }


@pytest.fixture
def switches(bench: Bench, server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Switches]:
    from dpra.rehearsal.aws import Cloud
    from dpra.rehearsal.oidc import Issuer

    with Cloud(Issuer("acme/shop", "main", ONE)) as cloud:
        for name, value in given(cloud, server, "root").items():
            monkeypatch.setenv(name, value)

        def client(service: str) -> Any:
            return boto3.session.Session().client(service, region_name=REGION)

        bucket = {"LocationConstraint": REGION}
        client("s3").create_bucket(Bucket="packages", CreateBucketConfiguration=bucket)
        yield Switches(bench, cloud, client)


def test_there_and_back(switches: Switches, bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = (switches.release(commit, flags(checkout=on)) for commit, on in ((ONE, False), (TWO, True)))
    assert bench.running == ""
    done = bench.deploy(one)
    place = switches.place
    assert done.outputs == {
        "Name": place.application, "Application": "shop", "ApplicationId": place.application, "Environment": "gamma",
        "EnvironmentId": place.environment, "ProfileFlags": "flags", "ProfileFlagsId": place.profiles["flags"],
        "ProfileLimits": "limits", "ProfileLimitsId": place.profiles["limits"],
    }  # fmt: skip
    assert (bench.running, done.change) == (one, f"{place.arn}/deployment/2")
    assert switches.states == [(1, "flags", "COMPLETE"), (2, "limits", "COMPLETE")]
    assert (switches.deployed(), switches.deployed("limits")) == ({"checkout": {"enabled": False}}, {"most": 5})
    assert place.tags["dpra:released"] == f"{one}/{ONE}"
    said = bench.says(capsys)
    assert said.index("Add Flags AWS::AppConfig") < said.index("values.checkout.enabled - false")
    assert said.index("values.checkout.enabled") < said.index("flags: DEPLOYING") < said.index("flags: BAKING")
    assert said.index("flags: COMPLETE, 100%") < said.index("limits: DEPLOYING")

    bench.deploy(two, TWO)
    said = bench.says(capsys)
    assert "flags values.checkout.enabled false true" in said
    assert "limits" not in said
    assert switches.states[2:] == [(3, "flags", "COMPLETE")]  # limits are as they were
    assert (bench.running, switches.deployed()) == (two, {"checkout": {"enabled": True, "limit": 10}})

    bench.back(one)
    assert switches.states[2:] == [(3, "flags", "REVERTED")]
    assert (bench.running, switches.deployed()) == (one, {"checkout": {"enabled": False}})
    bench.deploy(one)
    assert "configuration: no changes" in bench.says(capsys)
    assert (bench.running, len(switches.states)) == (one, 3)


@pytest.mark.slow
def test_after_72_hours_the_earlier_version_is_deployed_again(switches: Switches, bench: Bench) -> None:
    one = switches.release(ONE, flags(checkout=False))
    two = switches.release(TWO, flags(checkout=True), limit=6)
    bench.deploy(one)
    versions = {profile: switches.place.deployed(profile) for profile in ("flags", "limits")}
    bench.deploy(two, TWO)
    switches.hours_pass(73)
    switches.alarm("OK")
    bench.back(one)
    assert switches.states[2:] == [
        (3, "flags", "COMPLETE"), (4, "limits", "COMPLETE"), (5, "limits", "COMPLETE"), (6, "flags", "COMPLETE"),
    ]  # fmt: skip
    assert versions == {profile: switches.place.deployed(profile) for profile in ("flags", "limits")}
    assert (bench.running, switches.deployed("limits")) == (one, {"most": 5})


@pytest.mark.slow
def test_a_version_that_is_gone_is_made_again(switches: Switches, bench: Bench) -> None:
    one, two = (switches.release(commit, flags(checkout=on)) for commit, on in ((ONE, False), (TWO, True)))
    bench.deploy(one)
    gone = int(switches.place.deployed("flags"))
    bench.deploy(two, TWO)
    switches.hours_pass(73)
    about = {"ApplicationId": switches.place.application, "ConfigurationProfileId": switches.place.profiles["flags"]}
    switches.client("appconfig").delete_hosted_configuration_version(**about, VersionNumber=gone)
    bench.back(one)
    assert (bench.running, switches.deployed()) == (one, {"checkout": {"enabled": False}})
    assert int(switches.place.deployed("flags")) > gone


@pytest.mark.slow
def test_nothing_is_changed_before_it_may(switches: Switches, bench: Bench) -> None:
    one, two = (switches.release(commit, flags(checkout=on)) for commit, on in ((ONE, False), (TWO, True)))
    with failed("the record cannot be written"):
        bench.deploy(one, before=stop)
    assert bench.running == ""
    bench.deploy(one)
    with failed("the record cannot be written"):
        bench.deploy(two, TWO, before=stop)
    assert (bench.running, len(switches.states)) == (one, 2)


@pytest.mark.slow
def test_a_deployment_of_somebody_else_is_told_and_never_overrun(switches: Switches, bench: Bench) -> None:
    one, two = (switches.release(commit, flags(checkout=on)) for commit, on in ((ONE, False), (TWO, True)))
    bench.deploy(one)
    number = switches.console({"most": 9}, "limits", complete=False)
    says = (
        rf"deployment {number} of limits is DEPLOYING, .*% \(by hand, in the console\): wait for its end.*stop-deploy"
    )
    with failed(says):
        bench.deploy(two, TWO)
    assert bench.happened.count("before") == 1
    assert switches.states[2:] == [(number, "limits", "DEPLOYING")]
    assert bench.running == ""  # nobody knows


@pytest.mark.slow
def test_a_deployment_that_comes_between_is_told_and_never_overrun(switches: Switches, bench: Bench) -> None:
    one, two = (switches.release(commit, flags(checkout=on)) for commit, on in ((ONE, False), (TWO, True)))
    bench.deploy(one)
    with failed("meanwhile there was another deployment, nothing is overrun: deployment 3 of limits is COMPLETE"):
        bench.deploy(two, TWO, before=lambda: switches.console({"most": 9}, "limits") and None)
    assert (switches.states[2:], switches.deployed("limits")) == ([(3, "limits", "COMPLETE")], {"most": 9})


@pytest.mark.slow
def test_appconfigs_own_fences_are_told(switches: Switches, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even between the last look and the request."""
    import aws

    one, two = (switches.release(commit, flags(checkout=on)) for commit, on in ((ONE, False), (TWO, True)))
    bench.deploy(one)
    call, between = aws.call, ["create-hosted-configuration-version"]

    def called(*words: Any, **about: Any) -> Any:
        if words[2] in between:
            between.clear()
            switches.console({"values": {"checkout": {"limit": 3}}})
        return call(*words, **about)

    monkeypatch.setattr(aws, "call", called)
    with failed("another version of flags was made: nothing of it is overrun.*ConflictException"):
        bench.deploy(two, TWO)
    between.append("start-deployment")
    with failed("another deployment came between the look and the start of flags.*ConflictException"):
        bench.deploy(two, TWO, override="we know")
    assert switches.deployed() == {"checkout": {"enabled": False}}
    assert switches.states[2:] == [(3, "flags", "COMPLETE"), (4, "flags", "COMPLETE")]  # both by hand


@pytest.mark.slow
def test_drift_is_told_with_both_values_and_can_be_overridden(
    switches: Switches, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = (switches.release(commit, flags(checkout=on)) for commit, on in ((ONE, False), (TWO, True)))
    bench.deploy(one)
    assert bench.tool.drift(bench.target) == []
    switches.console({"values": {"checkout": {"limit": 77}}})
    assert bench.running == ""
    assert bench.tool.drift(bench.target) == [("flags", "values.checkout.limit", "10", "77")]
    with failed("somebody else changed flags in eu-west-1: flags values.checkout.limit: 10 is 77. Bring it into"):
        bench.deploy(two, TWO)
    assert bench.happened.count("before") == 1
    bench.says(capsys)
    bench.deploy(two, TWO, override="the limit was wrong")
    said = bench.says(capsys)
    assert "somebody else changed flags in eu-west-1; override: the limit was wrong" in said
    assert "values.checkout.limit 77 10" in said
    assert (bench.running, switches.deployed()["checkout"]["limit"]) == (two, 10)
    assert bench.tool.drift(bench.target) == []


@pytest.mark.slow
def test_a_revert_by_hand_is_drift_and_the_release_itself_is_none(switches: Switches, bench: Bench) -> None:
    one, two = (switches.release(commit, flags(checkout=on)) for commit, on in ((ONE, False), (TWO, True)))
    bench.deploy(one)
    bench.deploy(two, TWO)
    switches.client("appconfig").stop_deployment(**switches.place.ids, DeploymentNumber=3, AllowRevert=True)
    assert bench.tool.drift(bench.target) == [("flags", "values.checkout.enabled", "true", "false")]
    # Between the first and the last deployment of a release its own are no drift.
    switches.client("appconfig").untag_resource(ResourceArn=switches.place.arn, TagKeys=["dpra:released"])
    assert bench.tool.drift(bench.target) == []


def test_an_alarm_during_the_deployment_fails_it_and_the_reason_is_told(switches: Switches, bench: Bench) -> None:
    one, two = (switches.release(commit, flags(checkout=on)) for commit, on in ((ONE, False), (TWO, True)))
    bench.deploy(one)
    with failed("the deployment 3 of flags is ROLLED_BACK: .*alarm:errors.*CLOUDWATCH_ALARM"):
        bench.deploy(two, TWO, before=lambda: switches.alarm("ALARM"))
    assert (bench.running, switches.deployed()) == ("", {"checkout": {"enabled": False}})
    bench.back(one)
    assert (bench.running, len(switches.states)) == (one, 3)  # it is there already


def monitors(switches: Switches) -> list[str]:
    said = switches.client("appconfig").get_environment(**switches.place.ids)["Monitors"]
    return [one["AlarmArn"].rpartition(":")[2] for one in said]


@pytest.mark.slow
@pytest.mark.parametrize("state", ["ALARM", "INSUFFICIENT_DATA"])
def test_what_goes_back_or_off_or_mends_is_not_taken_back_by_an_alarm_that_rings(
    switches: Switches, bench: Bench, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    """AppConfig's monitors would: an emergency is when alarms ring."""
    one, two = (switches.release(commit, flags(checkout=on)) for commit, on in ((ONE, False), (TWO, True)))
    bench.deploy(one)
    bench.deploy(two, TWO)
    switches.alarm(state)
    assert switches.off(two, "checkout", TWO)
    assert (switches.deployed(), monitors(switches)) == ({"checkout": {"enabled": False}}, ["errors"])
    assert f"errors is {state}: its monitor would take this back, and is off until it is deployed" in bench.says(capsys)

    switches.hours_pass(80)  # no revert any more
    bench.back(one)
    assert (bench.running, monitors(switches)) == (one, ["errors"])
    three = switches.release(THREE, flags(other=True))
    with failed("is ROLLED_BACK"):
        bench.deploy(three, THREE)
    bench.deploy(three, THREE, override="this is the fix")
    assert (bench.running, monitors(switches)) == (three, ["errors"])
    four = switches.release(ONE, flags(other=False))
    bench.deploy(four, at_once=True)  # where no customer is: else no fix would ever get there
    assert bench.running == four
    assert not [key for key in switches.place.tags if key.startswith("dpra:monitor")]


@pytest.mark.slow
def test_a_monitor_that_a_lost_runner_left_off_is_put_on_again(
    switches: Switches, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    import monitors as module

    one, two = (switches.release(commit, flags(checkout=on)) for commit, on in ((ONE, True), (TWO, False)))
    bench.deploy(one)
    switches.alarm("ALARM")
    with monkeypatch.context() as lost:
        lost.setattr(module, "put_on", lambda place, tags: None)
        switches.off(one, "checkout")
    assert monitors(switches) == []
    bench.tool.settled(bench.target)
    assert monitors(switches) == ["errors"]
    switches.alarm("OK")
    bench.deploy(two, TWO)
    assert (bench.running, monitors(switches)) == (two, ["errors"])


@pytest.mark.slow
def test_a_release_that_cannot_be_waited_for_is_refused_before(switches: Switches, bench: Bench) -> None:
    slow = TEMPLATE.replace("DeploymentDurationInMinutes: 20", "DeploymentDurationInMinutes: 200")
    bench.deploy(switches.release(ONE, flags(checkout=False), template=slow), at_once=True)
    with failed("2 profiles of 210 minutes each take 420 minutes, and a job waits for 290"):
        bench.deploy(switches.release(TWO, flags(checkout=True), limit=6, template=slow), TWO)
    assert bench.happened.count("before") == 1
    bench.deploy(switches.release(THREE, flags(checkout=True), template=slow), THREE)


@pytest.mark.slow
def test_what_a_dead_runner_left_is_taken_back_and_others_are_waited_for(
    switches: Switches, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (switches.release(commit, flags(checkout=on)) for commit, on in ((ONE, False), (TWO, True)))
    bench.deploy(one)

    def dies(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("appconfig.ended", dies)
        with pytest.raises(KeyboardInterrupt):
            bench.deploy(two, TWO)
    bench.back(one)
    assert (switches.states[2:], bench.running) == ([(3, "flags", "ROLLED_BACK")], one)
    monkeypatch.setattr("time.sleep", lambda seconds: switches.hours_pass(1))
    number = switches.console({"most": 9}, "limits", complete=False)
    bench.back(one)
    assert switches.states[3:] == [(number, "limits", "REVERTED")]
    assert (bench.running, switches.deployed("limits")) == (one, {"most": 5})


@pytest.mark.slow
def test_the_template_must_make_what_the_release_configures(switches: Switches, bench: Bench) -> None:
    for part, says in (
        ("Limits", "the template makes no AWS::AppConfig::ConfigurationProfile with the name limits"),
        ("Place", "has 0 AWS::AppConfig::Environment"),
    ):
        lines, kept = TEMPLATE.splitlines(), True
        cut = []
        for line in lines:
            kept = (
                not line.startswith(f"  {part}:")
                if line.startswith("  ") and line[2] != " "
                else kept or line[:1] != " "
            )
            cut += [line] if kept else []
        bench.use("appconfig", stack=f"shop-{part}")
        with failed(says):
            bench.deploy(switches.release(ONE, flags(**{part.lower(): True}), template="\n".join(cut)))


@pytest.mark.slow
def test_what_a_validator_refuses_is_told_and_nothing_of_the_release_is_deployed(
    switches: Switches, bench: Bench
) -> None:
    schema = """'{"properties": {"most": {"maximum": 7}}}'"""
    kind = "Name: limits, LocationUri: hosted, Type: AWS.Freeform"
    assert TEMPLATE.count(kind) == 1
    template = TEMPLATE.replace(kind, f"{kind}, Validators: [{{Type: JSON_SCHEMA, Content: {schema}}}]")
    bench.deploy(switches.release(ONE, flags(checkout=False), template=template))
    before = switches.states
    with failed("version 2 of limits: aws appconfig validate-configuration: .*BadRequestException"):
        bench.deploy(switches.release(TWO, flags(checkout=True), 9, template))
    assert (switches.states, switches.deployed("limits")) == (before, {"most": 5})


# ---- Flags that an emergency switched off


def test_a_flag_goes_off_and_stays_off_until_its_own_file_says_so(
    switches: Switches, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    one = switches.release(ONE, flags(checkout=True, search=True))
    bench.deploy(one)
    assert switches.off(one, "checkout")
    off = {"checkout": {"enabled": False}, "search": {"enabled": True, "limit": 10}}
    assert (switches.deployed(), bench.running) == (off, one)
    assert switches.offs["checkout"].startswith("7 20")
    count = len(switches.states)
    assert switches.off(one, "checkout")  # twice is once
    assert len(switches.states) == count
    assert bench.tool.drift(bench.target) == []
    described = switches.client("appconfig").get_deployment(**switches.place.ids, DeploymentNumber=count)
    assert described["Description"] == "dpra:off checkout run 7"

    two = switches.release(TWO, flags(checkout=True, search=True, more=True), limit=6)
    bench.says(capsys)
    bench.deploy(two, TWO)  # the next release has it on
    assert "checkout stays off: run 7 20" in bench.says(capsys)
    assert (switches.deployed()["checkout"], bench.running) == ({"enabled": False}, two)
    bench.back(one)  # and the one before, too
    assert (switches.deployed(), bench.running) == (off, one)

    three = switches.release(THREE, flags(checkout=False, search=True))
    bench.deploy(three, THREE)
    assert (switches.offs, bench.running) == ({}, three)
    bench.deploy(two, TWO)  # from now on it goes on again
    assert switches.deployed()["checkout"]["enabled"] is True


@pytest.mark.slow
def test_a_rollback_to_a_release_that_has_it_off_ends_nothing(switches: Switches, bench: Bench) -> None:
    one, two = (switches.release(commit, flags(checkout=on)) for commit, on in ((ONE, False), (TWO, True)))
    bench.deploy(one)
    bench.deploy(two, TWO)
    switches.off(two, "checkout", TWO)
    bench.back(one)
    assert list(switches.offs) == ["checkout"]
    bench.deploy(two, TWO)
    assert switches.deployed() == {"checkout": {"enabled": False}}


@pytest.mark.slow
def test_all_variants_go_off(switches: Switches, bench: Bench) -> None:
    document = json.loads(flags(checkout=True))
    variants = [{"name": "staff", "rule": '(eq $group "staff")', "enabled": True}, {"name": "all", "enabled": True}]
    document["flags"]["checkout"].pop("attributes")
    document["values"]["checkout"] = {"_variants": variants}
    one = switches.release(ONE, json.dumps(document))
    bench.deploy(one)
    assert switches.off(one, "checkout")
    stored = switches.client("appconfig").get_hosted_configuration_version(
        ApplicationId=switches.place.application,
        ConfigurationProfileId=switches.place.profiles["flags"],
        VersionNumber=int(switches.place.deployed("flags")),
    )
    values = json.loads(stored["Content"].read())["values"]["checkout"]
    assert [one["enabled"] for one in values["_variants"]] == [False, False]


@pytest.mark.slow
def test_an_emergency_takes_back_a_release_in_progress_and_tells_of_others(
    switches: Switches, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    import appconfig

    one, two = (switches.release(commit, flags(checkout=True, search=on)) for commit, on in ((ONE, False), (TWO, True)))
    bench.deploy(one)
    ended = appconfig.ended

    def emergency(*words: Any) -> Any:
        """It comes while the release waits for its own deployment."""
        monkeypatch.setattr(appconfig, "ended", ended)
        switches.off(one, "checkout")
        return ended(*words)

    monkeypatch.setattr(appconfig, "ended", emergency)
    with failed("the deployment 3 of flags is ROLLED_BACK"):
        bench.deploy(two, TWO)
    assert switches.deployed() == {"checkout": {"enabled": False}, "search": {"enabled": False}}
    bench.back(one)
    assert (bench.running, switches.deployed()["checkout"]) == (one, {"enabled": False})
    number = switches.console({"most": 9}, "limits", complete=False)
    with failed(rf"deployment {number} of limits is DEPLOYING.*it is not dpra's"):
        switches.off(one, "search")
    assert set(switches.offs) == {"checkout", "search"}  # search goes off with the next release, at the latest


@pytest.mark.slow
def test_a_flag_that_is_not_there_yet_stays_off_when_it_comes(switches: Switches, bench: Bench) -> None:
    one = switches.release(ONE, flags(search=True))
    bench.deploy(one)
    assert not switches.off(one, "checkout")
    with failed("'a b' is no flag"):
        switches.off(one, "a b")
    bench.deploy(switches.release(TWO, flags(search=True, checkout=True)), TWO)
    assert switches.deployed()["checkout"] == {"enabled": False}


def in_the_middle(monkeypatch: pytest.MonkeyPatch, of: int, happens: Callable[[], Any]) -> None:
    """Let something happen while the deployment of that number is waited for."""
    import appconfig

    ended = appconfig.ended

    def waited(place: Any, number: int) -> Any:
        if number == of:
            monkeypatch.setattr(appconfig, "ended", ended)
            happens()
        return ended(place, number)

    monkeypatch.setattr(appconfig, "ended", waited)


@pytest.mark.slow
@pytest.mark.parametrize("of", [3, 4], ids=["while-it-goes-out", "while-the-next-profile-goes-out"])
def test_a_flag_that_a_release_is_bringing_goes_off_with_that_release(
    switches: Switches, bench: Bench, monkeypatch: pytest.MonkeyPatch, of: int
) -> None:
    """The release that is known to be good does not have it."""
    one = switches.release(ONE, flags(search=True))
    two = switches.release(TWO, flags(search=True, checkout=True), limit=6)
    bench.deploy(one)
    went: list[bool] = []
    in_the_middle(monkeypatch, of, lambda: went.append(switches.off(one, "checkout")))
    with failed("is ROLLED_BACK"):
        bench.deploy(two, TWO)
    assert went == [True]
    assert switches.deployed() == {"search": {"enabled": True, "limit": 10}}
    bench.back(one)
    assert (bench.running, switches.deployed("limits")) == (one, {"most": 5})


@pytest.mark.slow
def test_a_release_does_not_end_over_an_emergency_that_it_did_not_see(
    switches: Switches, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came between the last look and the first deployment: there was nothing to take back yet."""
    from deployers import appconfig as tool

    one, two = switches.release(ONE, flags(search=True)), switches.release(TWO, flags(search=True, checkout=True))
    bench.deploy(one)
    bring = tool.bring

    def later(*words: Any) -> Any:
        assert not switches.off(one, "checkout")
        return bring(*words)

    with monkeypatch.context() as patch:
        patch.setattr(tool, "bring", later)
        with failed("meanwhile an emergency switched checkout off, which this release turns on"):
            bench.deploy(two, TWO)
    assert bench.running == ""
    bench.deploy(two, TWO)
    assert (bench.running, switches.deployed()["checkout"]) == (two, {"enabled": False})


@pytest.mark.slow
def test_a_rollback_ends_though_an_emergency_comes_meanwhile(
    switches: Switches, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = switches.release(ONE, flags(search=True, checkout=False))
    two = switches.release(TWO, flags(search=True, checkout=True), limit=6)
    bench.deploy(one)
    bench.deploy(two, TWO)
    switches.hours_pass(73)
    in_the_middle(monkeypatch, 5, lambda: switches.off(one, "search"))
    bench.back(one)
    off = {"search": {"enabled": False}, "checkout": {"enabled": False}}
    assert (bench.running, switches.deployed(), switches.deployed("limits")) == (one, off, {"most": 5})


@pytest.mark.slow
def test_an_emergency_whose_runner_dies_is_no_drift(
    switches: Switches, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deployers import appconfig as tool

    one = switches.release(ONE, flags(checkout=True))
    bench.deploy(one)
    tag = tool.tag

    def dies(place: Any, tags: Any) -> None:
        if [key for key in tags if key.startswith("dpra:version:")]:
            raise KeyboardInterrupt
        tag(place, tags)

    with monkeypatch.context() as patch:
        patch.setattr(tool, "tag", dies)
        with pytest.raises(KeyboardInterrupt):
            switches.off(one, "checkout")
    assert switches.deployed() == {"checkout": {"enabled": False}}
    assert bench.tool.drift(bench.target) == []
    bench.deploy(switches.release(TWO, flags(checkout=True, more=True)), TWO)
    assert switches.deployed()["checkout"] == {"enabled": False}


@pytest.mark.slow
def test_an_emergency_goes_on_though_the_environment_takes_no_tag_more(
    switches: Switches, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    one = switches.release(ONE, flags(checkout=True))
    bench.deploy(one)
    there = len(switches.place.tags)
    more = {f"own-{number}": "" for number in range(50 - there)}
    switches.client("appconfig").tag_resource(ResourceArn=switches.place.arn, Tags=more)
    with failed("checkout is off, but .* the next release turns it on again"):
        switches.off(one, "checkout")
    assert switches.deployed() == {"checkout": {"enabled": False}}


@pytest.mark.slow
def test_a_monitor_with_long_names_is_remembered(
    switches: Switches, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tag has 256 characters, the ARNs of an alarm and a role may have more."""
    import monitors as module

    name = "errors-" + "x" * 200
    role = f"arn:aws:iam::{ACCOUNT}:role/dpra/shop/gamma/monitor-{'y' * 40}"
    template = TEMPLATE.replace("AlarmName: errors", f"AlarmName: {name}").replace(
        "{AlarmArn: !GetAtt Alarm.Arn}", f"{{AlarmArn: !GetAtt Alarm.Arn, AlarmRoleArn: '{role}'}}"
    )
    one = switches.release(ONE, flags(checkout=True), template=template)
    bench.deploy(one)
    there = switches.client("appconfig").get_environment(**switches.place.ids)["Monitors"]
    switches.client("cloudwatch").set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    with monkeypatch.context() as lost:
        lost.setattr(module, "put_on", lambda place, tags: None)
        assert switches.off(one, "checkout")
    assert monitors(switches) == []
    bench.tool.settled(bench.target)
    assert switches.client("appconfig").get_environment(**switches.place.ids)["Monitors"] == there
    assert not [key for key in switches.place.tags if key.startswith("dpra:monitor")]


@pytest.mark.slow
def test_a_profile_that_was_away_comes_again(switches: Switches, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered of the one before is no drift of the new one, even where its first release fails midway."""
    one, three = switches.release(ONE, flags(checkout=True)), switches.release(THREE, flags(checkout=True), limit=6)
    bench.deploy(one)
    without = TEMPLATE.replace(TEMPLATE[TEMPLATE.index("  Limits:") : TEMPLATE.index("  Gradual:")], "")
    monkeypatch.setattr(f"{__name__}.PROFILES", PROFILES[:1])
    bench.deploy(switches.release(TWO, flags(checkout=False), template=without), TWO)
    assert not [key for key in switches.place.tags if "limits" in key]
    with monkeypatch.context() as patch:
        patch.setattr("deployers.appconfig.bring", lambda *_: stop())
        with failed("the record cannot be written"):
            bench.deploy(three, THREE)
    assert bench.tool.drift(bench.target) == []
    bench.deploy(three, THREE)
    own = switches.place.profiles["limits"]  # the one before, which AppConfig does not delete, has the same name
    assert (bench.running, switches.deployed(own)) == (three, {"most": 6})


# ---- By the release action


@pytest.fixture
def by_action(
    switches: Switches, bench: Bench, hurried: Any, server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Uses the release action; `keep` signs a release and puts it into the region's store."""
    import release
    import signature
    import store

    kms = switches.client("kms")
    key = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["Arn"]
    own = {"GITHUB_REPOSITORY_ID": "1", "GITHUB_REF": "refs/heads/main"}
    own["GITHUB_WORKFLOW_REF"] = "acme/shop/.github/workflows/pipeline.yml@refs/heads/main"
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    hurried.env |= given(switches.cloud, server, "root") | own
    hurried.env["PATH"] = f"{hurried.root / 'bin'}:{server['PATH']}"

    def use(do: str, **inputs: str) -> Any:
        common = {"component": "shop", "account": ACCOUNT, "bucket": "packages", "signing_key": key}
        common |= {"tool": "appconfig", "stack": "shop", "record": "s3://packages/shop/record.json"}
        common |= {"record_region": REGION, "environment": "gamma", "regions": REGION, "token": "none"}
        common["built_by"] = ".github/workflows/pipeline.yml@refs/heads/main"
        return hurried.use("release", do=do, **common | inputs)

    def keep(digest: str, commit: str) -> None:
        folder = hurried.workspace / digest
        monkeypatch.setenv("GITHUB_SHA", commit)
        (folder / "provenance.json").write_text(json.dumps(release.statement(folder, digest)))
        signature.sign(folder, key)
        store.put(REGION, "packages", ACCOUNT, "shop", digest, folder)

    use.keep = keep  # type: ignore[attr-defined]
    return use


def recorded(**regions: Any) -> Any:
    """A record in which another run releases."""
    import record

    place = record.Place(REGION, "packages", "shop/record.json", ACCOUNT)

    def write(kept: Any) -> None:
        record.acquire_lock(kept, "99", {"digest": "d", "commit": "c"}, lambda *_: "ahead", 1e12, 100.0, False)
        kept["regions"] = regions

    record.change(place, write)
    return lambda: record.read(place)[0]


@pytest.mark.slow
def test_an_emergency_by_the_action_waits_for_no_lock_and_leaves_the_record_alone(
    switches: Switches, bench: Bench, by_action: Any
) -> None:
    one, two = (switches.release(commit, flags(checkout=True), limit) for commit, limit in ((ONE, 1), (TWO, 2)))
    for digest, commit in ((one, ONE), (two, TWO)):
        by_action.keep(digest, commit)
    bench.deploy(one)
    bench.deploy(two, TWO)
    good, now = {"digest": one, "commit": ONE}, {"digest": two, "commit": TWO, "state": "deployed", "wave": 1}
    read = recorded(**{REGION: {"good": good, "now": now}, "eu-central-1": {"good": None, "now": None}})
    before = read()
    ran = by_action("switch-off", flag="checkout", reason="it sells twice", regions=f"{REGION} eu-central-1")
    assert ran.code == 1
    assert "::eu-central-1: checkout: no release runs there" in ran.errors
    assert "title=emergency-off::checkout is not off in every region: run this again" in ran.errors
    assert (ran.record["action"], ran.record["override"]) == ("emergency-off", "it sells twice")
    assert ran.record["findings"] == {"off": 1, "failed": 1}
    assert (switches.deployed(), switches.deployed("limits")) == ({"checkout": {"enabled": False}}, {"most": 2})
    assert (bench.running, read()) == (two, before)
    ran = by_action("switch-off", flag="checkout", reason="again")
    assert (ran.code, ran.record["findings"]) == (0, {"off": 1, "failed": 0})
    ran = by_action("switch-off", flag="chekout", reason="misspelt")
    assert ran.errors == ["title=emergency-off::no region has a flag chekout: is that its name?"]
    assert by_action("switch-off", flag="checkout").errors == ["title=emergency-off::the input 'reason' is required"]


@pytest.mark.slow
def test_an_emergency_during_the_first_release_takes_it_back_by_its_own_documents(
    switches: Switches, bench: Bench, by_action: Any
) -> None:
    one = switches.release(ONE, flags(checkout=True))
    by_action.keep(one, ONE)
    bench.deploy(one)
    now = {"digest": one, "commit": ONE, "state": "deploying", "wave": 1}
    recorded(**{REGION: {"good": None, "now": now}})
    ran = by_action("switch-off", flag="checkout", reason="it sells twice")
    assert (ran.code, ran.record["findings"]) == (0, {"off": 1, "failed": 0})
    assert switches.deployed() == {"checkout": {"enabled": False}}


@pytest.mark.slow
def test_an_emergency_deploys_nothing_that_was_not_signed(switches: Switches, bench: Bench, by_action: Any) -> None:
    one = switches.release(ONE, flags(checkout=True))
    by_action.keep(one, ONE)
    bench.deploy(one)
    recorded(**{REGION: {"good": {"digest": one, "commit": ONE}, "now": None}})
    key = f"shop/{one}/provenance.sig"
    switches.client("s3").put_object(Bucket="packages", Key=key, Body=b"forged")
    ran = by_action("switch-off", flag="checkout", reason="it sells twice")
    assert ran.code == 1
    assert "the release is not signed" in ran.errors[0]
    assert switches.deployed()["checkout"]["enabled"] is True
    assert switches.offs == {}


@pytest.mark.slow
def test_drift_by_the_action(switches: Switches, bench: Bench, by_action: Any) -> None:
    bench.deploy(switches.release(ONE, flags(checkout=False)))
    ran = by_action("drift")
    assert (ran.code, ran.record["action"], ran.record["findings"]) == (0, "configuration-drift", {"changed": 0})
    switches.console({"most": 9}, "limits")
    ran = by_action("drift")
    assert (ran.code, ran.record["result"], ran.record["findings"]) == (1, "fail", {"changed": 1})
    assert "title=drift::eu-west-1: limits most: dpra deployed 5, and 9 is deployed" in ran.errors
    assert "| `eu-west-1` | `limits` | `most` | `5` | `9` |" in ran.summary
    assert by_action("drift", tool="cloudformation").errors[-1].endswith("the deploy tool cloudformation has no flags")


# ---- By the roles that dpra emits


@pytest.mark.slow
def test_the_roles_may_do_what_they_do_and_nothing_to_another_component(
    bench: Bench, server: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from dpra import catalogue, problems, render
    from dpra.rehearsal.accounts import prepare
    from dpra.rehearsal.aws import Cloud
    from dpra.rehearsal.oidc import Issuer
    from dpra.spec import reader

    text = (Path(__file__).parents[1] / "specs/configuration.yml").read_text().replace("333333333333", ACCOUNT)
    plan = problems.planned(reader.read(text.replace("switches", "shop").encode(), catalogue.words()))
    for name, content in render.infrastructure(plan).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    with Cloud(Issuer("acme/shop", "main", ONE)) as cloud:
        prepare(tmp_path, plan)

        def act(role: str, of_pipeline: bool = True) -> Any:
            for name, value in given(cloud, server, role, of_pipeline).items():
                monkeypatch.setenv(name, value)
            return boto3.session.Session().client("appconfig", region_name=REGION)

        others = act("root", of_pipeline=False)
        other = others.create_application(Name="other", Tags={"dpra:component": "other"})["Id"]
        where = {"ApplicationId": other}
        profile = others.create_configuration_profile(
            **where, Name="limits", LocationUri="hosted", Tags={"dpra:component": "other"}
        )["Id"]
        own = Switches(bench, cloud, lambda service: boto3.session.Session().client(service, region_name=REGION))
        one, two = (own.release(commit, flags(checkout=on)) for commit, on in ((ONE, False), (TWO, True)))
        client = act("role/dpra-shop-prod")
        bench.given(execution_role=f"arn:aws:iam::{ACCOUNT}:role/dpra-shop-prod-execution")
        bench.deploy(one, stored=True)
        bench.deploy(two, TWO, stored=True)
        own.off(two, "checkout", TWO)
        bench.back(one)
        cloud.ahead += 73 * 3600
        bench.deploy(two, TWO, stored=True, at_once=True)
        assert bench.running == two

        with pytest.raises(ClientError, match="AccessDenied"):
            client.create_hosted_configuration_version(
                **where, ConfigurationProfileId=profile, Content=b"{}", ContentType="application/json"
            )
        with pytest.raises(ClientError, match="AccessDenied"):
            client.tag_resource(ResourceArn=own.place.arn, Tags={"dpra:component": "other"})
        with pytest.raises(ClientError, match="AccessDenied"):
            client.untag_resource(ResourceArn=own.place.arn, TagKeys=["dpra:released", "dpra:component"])

        client = act("role/dpra-shop-prod-drift")
        assert bench.tool.drift(bench.target) == []
        with pytest.raises(ClientError, match="AccessDenied"):
            client.stop_deployment(**own.place.ids, DeploymentNumber=1, AllowRevert=True)
