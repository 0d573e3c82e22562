"""A flag of AppConfig as a gate: the real AWS CLI against the rehearsal's AWS, by the role of dpra bootstrap."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from dpra import catalogue, problems, render
from dpra.rehearsal.accounts import prepare
from dpra.rehearsal.aws import Cloud
from dpra.rehearsal.oidc import Issuer
from dpra.spec import reader

MINIMAL = (Path(__file__).parents[1] / "specs/minimal.yml").read_text("utf-8")
GATED = MINIMAL + "actions: {deploy-software: {gates: [{flag: checkout, of: switches, is: off}]}}\n"
REGION, BETA, GAMMA = "eu-west-1", "111111111111", "222222222222"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The accounts as `dpra bootstrap` prepares them; the flag is off in beta and in gamma."""
    plan, root = problems.planned(reader.read(GATED.encode(), catalogue.words())), tmp_path_factory.mktemp("accounts")
    for path, text in render.infrastructure(plan).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    with Cloud(Issuer("acme/shop", "main", "a" * 40)) as cloud:
        prepare(root, plan)
        yield cloud


def keys(cloud: Cloud, role: str, account: str = BETA) -> dict[str, str]:
    """The environment of who has a role, with the rights of its policies; of the account's root, with all."""
    arn = f"arn:aws:iam::{account}:{role}"
    session = cloud.give(arn, "test")
    if role != "root":
        cloud.roles[session.access_key_id] = arn
    return {
        "AWS_ACCESS_KEY_ID": session.access_key_id,
        "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
        "AWS_SESSION_TOKEN": session.session_token,
    }


@pytest.fixture
def gate(job: Any, server: dict[str, str], cloud: Cloud) -> Callable[..., Any]:
    """The action, in a job of beta with the deploying role unless another one is named."""

    def gate(role: str = "role/dpra-shop-beta", of: str = BETA, **inputs: str) -> Any:
        job.env |= {**server, **keys(cloud, role, of), "AWS_ENDPOINT_URL": cloud.url}
        given = {"flag": "checkout", "is": "off", "application": "switches", "environment": "beta", **inputs}
        return job.use("flag", **{"account": of, "region": REGION, **given})

    return gate


@pytest.fixture
def delivers(cloud: Cloud) -> Callable[..., None]:
    """Lets AppConfig deliver these flags, and no others, to beta, as the component that they are of does."""
    given = {name.lower(): value for name, value in keys(cloud, "root").items()}
    api = boto3.client("appconfig", region_name=REGION, endpoint_url=cloud.url, **given)
    [application] = api.list_applications()["Items"]
    at = {"ApplicationId": application["Id"]}
    [environment], [profile] = (
        found(**at)["Items"] for found in (api.list_environments, api.list_configuration_profiles)
    )
    of = {**at, "ConfigurationProfileId": profile["Id"]}

    def delivers(**values: Any) -> None:
        document = {"version": "1", "flags": {name: {"name": name} for name in values}, "values": values}
        content = {"Content": json.dumps(document).encode(), "ContentType": "application/json"}
        made = api.create_hosted_configuration_version(**of, **content)
        started = api.start_deployment(
            **of, EnvironmentId=environment["Id"], DeploymentStrategyId="AppConfig.AllAtOnce",
            ConfigurationVersion=str(made["VersionNumber"]),
        )  # fmt: skip
        about = {**at, "EnvironmentId": environment["Id"], "DeploymentNumber": started["DeploymentNumber"]}
        assert [api.get_deployment(**about)["State"] for _ in range(2)][-1] == "COMPLETE"

    return delivers


@pytest.mark.parametrize(("on", "state", "other"), [(True, "on", "off"), (False, "off", "on")])
def test_a_flag_with_the_state_passes_and_with_the_other_one_fails(
    gate: Any, delivers: Any, on: bool, state: str, other: str
) -> None:
    delivers(checkout={"enabled": on}, another={"enabled": not on})
    done = gate(**{"is": state})
    assert done.code == 0, done.out
    record = done.record
    assert (record["action"], record["tool"], record["result"]) == ("flag-gate", "appconfig", "pass")
    assert (record["region"], record["where"]) == (REGION, "switches/beta/flags: checkout")
    done = gate(**{"is": other})
    assert (done.code, done.record["result"]) == (1, "fail")
    said = (
        f"the flag checkout is {state} in beta, eu-west-1, and must be {other}: switches delivers it; turn it {other}"
    )
    assert said in done.errors[0]


def variants(on: bool) -> dict[str, Any]:
    """A value with variants: without context a caller gets the last one, whatever the rules say."""
    rule = '(or (eq $group "it\'s [us]") (not (eq $x "\\\\")) (split by::$id pct::10 seed::"a"))'
    staff = {"name": "staff's \\ own", "enabled": not on, "rule": rule}
    return {"_variants": [staff, {"name": "default", "enabled": on}]}


@pytest.mark.parametrize(("on", "state", "other"), [(True, "on", "off"), (False, "off", "on")])
def test_of_a_flag_with_variants_the_one_without_a_rule_counts(
    gate: Any, delivers: Any, on: bool, state: str, other: str
) -> None:
    """One such flag makes all of them Amazon Ion."""
    delivers(before=variants(not on), checkout=variants(on), plain={"enabled": on}, after=variants(not on))
    for flag in ("checkout", "plain"):
        assert gate(flag=flag, **{"is": state}).code == 0
        assert gate(flag=flag, **{"is": other}).record["result"] == "fail"
    assert gate(flag="after", **{"is": other}).code == 0
    assert gate(flag="gone", **{"is": other}).record["result"] == "error"


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"flag": "chekout"}, "switches delivers no flag chekout to beta in eu-west-1: deliver it there, or take the"),
        ({"flag": "chekout", "is": "on"}, "switches delivers no flag chekout to beta in eu-west-1"),
        ({"application": "gone"}, "AppConfig delivers nothing of gone, environment beta, profile flags, in eu-west-1"),
        ({"environment": "gamma"}, "AppConfig delivers nothing of switches, environment gamma, profile flags"),
        ({"profile": "limits"}, "AppConfig delivers nothing of switches, environment beta, profile limits"),
        ({"region": "us-east-1"}, "AppConfig delivers nothing of switches, environment beta, profile flags, in us-"),
        ({"account": GAMMA}, f"the credentials are of account {BETA}, not {GAMMA}"),
    ],
)
def test_what_is_not_there_fails(gate: Any, delivers: Any, inputs: dict[str, str], says: str) -> None:
    delivers(checkout={"enabled": False})
    done = gate("root", **inputs)
    assert (done.code, done.record["result"]) == (1, "error")
    assert says in done.errors[0]


def test_a_state_that_is_none_is_refused(gate: Any, delivers: Any) -> None:
    """YAML 1.1 makes false of off."""
    delivers(checkout={"enabled": False})
    done = gate(**{"is": "false"})
    assert (done.code, done.record["result"]) == (1, "error")
    assert "the input 'is' is 'false': it must be on or off" in done.errors[0]


def test_a_role_without_the_right_is_refused_and_told_what_gives_it(gate: Any) -> None:
    """Only the role of a job with a gate has it."""
    assert gate("role/dpra-shop-gamma", of=GAMMA, environment="gamma").code == 0
    done = gate("role/dpra-shop-gamma-monitor", of=GAMMA, environment="gamma")
    assert (done.code, done.record["result"]) == (1, "error")
    assert "this role may not read switches, environment gamma, profile flags, in eu-west-1" in done.errors[0]
    assert "dpra bootstrap did not give it the right" in done.errors[0]


@pytest.mark.parametrize(
    ("kept", "state"),
    [
        (b"", "off"),
        (b"{}", "off"),
        (b"[]", "off"),
        (b"on", "on"),
        (b"\xff", "off"),
        (b'{"checkout": true}', "on"),
        (b'{"checkout": {}}', "off"),
        (b'{"checkout": {"enabled": "false"}}', "on"),
        (b'{"checkout": {"enabled": null}}', "off"),
    ],
)
def test_a_document_without_the_flags_state_fails(
    job: Any, gate: Any, delivers: Any, monkeypatch: pytest.MonkeyPatch, kept: bytes, state: str
) -> None:
    """Such as what somebody else's profile delivers, or nothing at all."""
    from dpra.rehearsal.mends.appconfig import data

    delivers(checkout={"enabled": False})
    monkeypatch.setattr(data, "retrieved", lambda content: ("application/json", kept))
    done = gate(**{"is": state})
    assert (done.code, done.record["result"]) == (1, "error")


@pytest.mark.parametrize(
    "kept",
    [
        """'checkout'::[[(eq $a "b"), '''{"enabled": false}''']]""",
        """'checkout'::[[(eq $a "b"), '''{"enabled": false}'''], '''{"enabled": fal''']""",
        """'checkout'::['''{"enabled": false}'''""",
        """'checkout'::'''{"enabled": false}''' {""",
        """{checkout: '''{"enabled": false}'''}""",
        """'other'::'''{"checkout": {"enabled": false}}'''""",
        "\xe0\x01\x00\xea",
    ],
)
def test_amazon_ion_that_is_not_understood_fails(
    gate: Any, delivers: Any, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    from dpra.rehearsal.mends.appconfig import data
    from dpra.rehearsal.mends.appconfig.flags import ION

    delivers(checkout={"enabled": False})
    monkeypatch.setattr(data, "retrieved", lambda content: (ION, kept.encode()))
    done = gate()
    assert (done.code, done.record["result"]) == (1, "error"), done.out


# As AWS's documentation shows it: appconfig-agent-how-to-use-local-development-samples.
AWS_SAMPLE = """
'tiered_release'::[
  [
    (or (and (eq $group "Tier1") (split by::$userId pct::1 seed::"2025-01-01"))
        (and (eq $group "Tier2") (split by::$userId pct::7 seed::"2025-01-01"))),
    '''{"_variant": "ShowFeature", "enabled": true}'''
  ],
  '''{"_variant": "HideFeature", "enabled": false}'''
]
'background_worker'::'''{"enabled": true, "num_threads": 4, "queue_name": "MyWorkQueue"}'''
"""


def test_amazon_ion_as_aws_documents_it_is_read(gate: Any, delivers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dpra.rehearsal.mends.appconfig import data
    from dpra.rehearsal.mends.appconfig.flags import ION

    delivers(checkout={"enabled": False})
    monkeypatch.setattr(data, "retrieved", lambda content: (ION, AWS_SAMPLE.encode()))
    assert gate(flag="tiered_release").code == 0
    assert gate(flag="background_worker", **{"is": "on"}).code == 0
    assert gate(flag="background_worker").record["result"] == "fail"


def test_what_a_flag_and_its_place_are_called_is_data_alone(
    job: Any, gate: Any, delivers: Any, hostile: dict[str, str], inert: Any
) -> None:
    delivers(checkout={"enabled": False})
    for text in hostile.values():
        for names in (("flag",), ("application", "environment", "profile")):
            done = gate("root", **dict.fromkeys(names, text))
            assert done.code == 1
            inert(job, done)
