"""Real clients of AppConfig read what was deployed: boto3's appconfigdata, and AWS Powertools for Python.

What `dpra new` brings is compiled and deployed by the pack, as its actions do it, to the rehearsal's accounts.
OpenFeature has no provider for AppConfig on PyPI or npm; it reads another provider's flags in test_flag_providers.py.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.parameters import AppConfigProvider, get_app_config
from aws_lambda_powertools.utilities.parameters.base import DEFAULT_PROVIDERS

from .pack.conftest import ONE, REGION, TWO, Bench, Runner, server

__all__ = ["server"]  # a fixture
ACCOUNTS = {"beta": "1" * 12, "gamma": "2" * 12, "prod": "3" * 12}

pytestmark = pytest.mark.slow


class Switches:
    """A repository of `dpra new`, its releases, and the accounts that they are deployed to."""

    def __init__(self, root: Path, bench: Bench, cloud: Any) -> None:
        self.root, self.bench, self.cloud = root, bench, cloud
        bench.use("appconfig", stack="switches")
        bench.given(component="switches")

    def release(self, commit: str) -> str:
        """A release of the working tree; its digest."""
        import configuration_build as build
        from configuration_parsers import events

        settings = build.Settings(tuple(ACCOUNTS))
        built = build.build(build.in_folder(self.root, settings), settings, events)
        assert not built.problems
        files = {f"configuration/{name}": content.decode() for name, content in built.documents().items()}
        return self.bench.release(commit, files, (self.root / "infrastructure/template.yml").read_text())

    def act(self, environment: str) -> None:
        """Be in an environment's account from now on."""
        session = self.cloud.give(f"arn:aws:iam::{ACCOUNTS[environment]}:root", "test")
        self.cloud.ends[session.access_key_id] = float("inf")  # hours pass here
        for name, value in {
            "AWS_ACCESS_KEY_ID": session.access_key_id,
            "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
            "AWS_SESSION_TOKEN": session.session_token,
        }.items():
            self.bench.monkeypatch.setenv(name, value)
        self.bench.given(environment=environment, account=ACCOUNTS[environment])

    def client(self, service: str) -> Any:
        return boto3.session.Session().client(service, region_name=REGION)

    def off(self, digest: str, flag: str) -> None:
        import deployment

        change = deployment.Change(self.bench.job.workspace / digest, digest, ONE, lambda: None, True, at_once=True)
        assert self.bench.tool.switch_off(self.bench.target, change, flag)


@pytest.fixture
def switches(dpra: Any, server: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Switches]:
    from dpra.rehearsal.aws import Cloud
    from dpra.rehearsal.oidc import Issuer

    words = ("new", "--no-input", "-o", tmp_path, "name=switches", "pipeline=dynamic-configuration")
    done = dpra(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "job").mkdir()
    bench = Bench(Runner(tmp_path / "job"), monkeypatch)
    with Cloud(Issuer("acme/switches", "main", ONE)) as cloud:
        for name, value in {**server, "AWS_ENDPOINT_URL": cloud.url, "AWS_DEFAULT_REGION": REGION}.items():
            monkeypatch.setenv(name, value)
        yield Switches(tmp_path / "switches", bench, cloud)


class Boto3:
    """A session of appconfigdata, polled again and again; nothing new is what it had."""

    def __init__(self, client: Any, environment: str, profile: str) -> None:
        self.client, self.has = client, b""
        about = {"ApplicationIdentifier": "switches", "EnvironmentIdentifier": environment}
        said = client.start_configuration_session(**about, ConfigurationProfileIdentifier=profile)
        self.token = said["InitialConfigurationToken"]

    def read(self) -> Any:
        said = self.client.get_latest_configuration(ConfigurationToken=self.token)
        self.token, new = said["NextPollConfigurationToken"], said["Configuration"].read()
        self.has = new or self.has
        return json.loads(self.has)


class Powertools:
    """AWS Powertools' provider, which an application keeps; asked anew each time."""

    def __init__(self, client: Any, environment: str, profile: str) -> None:
        self.provider, self.profile = AppConfigProvider(environment, "switches", boto3_client=client), profile

    def read(self) -> Any:
        return self.provider.get(self.profile, transform="json", force_fetch=True)


class Clients:
    """Both of them, in an environment's account, which must read the same."""

    def __init__(self, switches: Switches, environment: str, profile: str) -> None:
        data = switches.client("appconfigdata")
        self.readers = [one(data, environment, profile) for one in (Boto3, Powertools)]

    def read(self) -> Any:
        first, second = (one.read() for one in self.readers)
        assert first == second
        return first


OFF, LIMITS = {"new-checkout": {"enabled": False}}, {"retries": {"pause-milliseconds": 200, "times": 3}}


def test_each_environment_gets_its_own_values(switches: Switches) -> None:
    digest = switches.release(ONE)
    flags = {
        "beta": {"enabled": True, "limit": 100},
        "gamma": {"enabled": True, "limit": 50},
        "prod": {"enabled": False},
    }
    rates = {"beta": 10, "gamma": 10, "prod": 200}
    for environment in ACCOUNTS:
        switches.act(environment)
        switches.bench.deploy(digest, stored=True)
        assert Clients(switches, environment, "flags").read() == {"new-checkout": flags[environment]}
        assert Clients(switches, environment, "limits").read() == LIMITS | {"requests-per-second": rates[environment]}


def test_a_client_that_goes_on_asking_gets_each_release_and_the_one_before_after_a_revert(
    switches: Switches,
) -> None:
    one = switches.release(ONE)
    path = switches.root / "flags.yml"
    text = path.read_text()
    path.write_text(text.replace("prod: {enabled: false, limit: 10}\n", "prod: {enabled: true, limit: 20}\n"))
    assert path.read_text() != text
    (switches.root / "configuration/limits/prod.yml").write_text("requests-per-second: 300\n")
    two = switches.release(TWO)
    switches.act("prod")
    switches.bench.deploy(one, stored=True)
    flags, limits = (Clients(switches, "prod", profile) for profile in ("flags", "limits"))
    before = OFF, LIMITS | {"requests-per-second": 200}
    assert (flags.read(), limits.read()) == before
    assert (flags.read(), limits.read()) == before  # nothing new
    switches.bench.deploy(two, TWO, stored=True)
    on = {"new-checkout": {"enabled": True, "limit": 20}}
    assert (flags.read(), limits.read()) == (on, LIMITS | {"requests-per-second": 300})
    switches.bench.back(one)
    assert (flags.read(), limits.read()) == before


def test_an_emergency_reaches_who_already_reads(switches: Switches) -> None:
    digest = switches.release(ONE)
    switches.act("beta")
    switches.bench.deploy(digest, stored=True)
    flags = Clients(switches, "beta", "flags")
    assert flags.read() == {"new-checkout": {"enabled": True, "limit": 100}}
    switches.off(digest, "new-checkout")
    assert flags.read() == OFF


def test_powertools_function_reads_by_the_names_of_the_template(switches: Switches) -> None:
    switches.act("gamma")
    switches.bench.deploy(switches.release(ONE), stored=True)
    DEFAULT_PROVIDERS.pop("appconfig", None)
    said = get_app_config("limits", environment="gamma", application="switches", transform="json")
    DEFAULT_PROVIDERS.pop("appconfig", None)
    assert said == LIMITS | {"requests-per-second": 10}


def test_who_reads_without_the_agent_gets_the_rules_of_variants_and_no_decision(switches: Switches) -> None:
    """As the template of `dpra new` says beside its example: AppConfig sends them as Amazon Ion.

    https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-creating-multi-variant-feature-flags-concepts.html"""
    path = switches.root / "flags.yml"
    path.write_text(
        path.read_text().replace("    prod: {enabled", "    # {enabled", 1).replace("    # prod:", "    prod:", 1)
    )
    switches.act("prod")
    switches.bench.deploy(switches.release(ONE), stored=True)
    provider = AppConfigProvider("prod", "switches", boto3_client=switches.client("appconfigdata"))
    said = provider.get("flags")
    assert isinstance(said, bytes)
    assert b'(eq $group "staff")' in said
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(said)
