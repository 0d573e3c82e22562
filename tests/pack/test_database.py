"""The database is changed before the software, from the verified package, by whom AWS lets in just then."""

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import ACCOUNT, ONE, REGION, Bench

INPUTS = ("account", "alarms", "override", "record", "record_region", "wave")
URL = "jdbc:postgresql://{environment}.shop.example/shop"
# Stand-ins that say what they were given; a database of one file.
LIQUIBASE = """#!/bin/bash
echo "liquibase $* $LIQUIBASE_COMMAND_URL $LIQUIBASE_COMMAND_USERNAME $LIQUIBASE_COMMAND_PASSWORD" >> "$HOME/said"
if [[ $1 == update ]]; then cp changelog.xml "$HOME/database"; exit; fi
if cmp -s changelog.xml "$HOME/database"; then echo "a@jdbc is up to date"; else echo "1 changesets to apply"; fi
"""
FLYWAY = """#!/bin/bash
echo "flyway $* $FLYWAY_URL $FLYWAY_USER $FLYWAY_PASSWORD" >> "$HOME/said"
if [[ $1 == migrate ]]; then touch "$HOME/database"; exit; fi
state=Pending; [[ ! -e $HOME/database ]] || state=Success
echo "{\\"migrations\\": [{\\"version\\": \\"2\\", \\"description\\": \\"add a column\\", \\"state\\": \\"$state\\"}]}"
"""


@pytest.fixture
def change(bench: Bench, job: Any, cloud: Any, server: dict[str, str]) -> Any:
    """Uses the action for a release that has a folder `database`."""
    job.env |= server | {"PATH": f"{job.root / 'bin'}:{server['PATH']}", "GITHUB_SHA": ONE}
    for name, text in (("liquibase", LIQUIBASE), ("flyway", FLYWAY)):
        (job.root / "bin" / name).write_text(text)
        (job.root / "bin" / name).chmod(0o755)
    digest = bench.release(ONE, {"database/changelog.xml": "<add/>", "database/migrate": "#!/bin/sh\nexit 3\n"})

    def use(tool: str, reversible: bool = True, folder: str = "database", **settings: Any) -> Any:
        inputs = {"account": ACCOUNT, "tool": tool, "digest": digest, "release": digest, "component": "shop"}
        inputs |= {"environment": "prod", "region": REGION}
        inputs |= {key: settings.pop(key) for key in [*settings] if key in INPUTS}
        said = json.dumps({"reversible": reversible, "folder": folder, **settings})
        return job.use("database-deploy", **inputs, settings=said)

    use.digest = digest  # type: ignore[attr-defined]
    return use


def said(job: Any) -> list[str]:
    path = Path(job.env["HOME"], "said")
    return path.read_text().splitlines() if path.exists() else []


def test_liquibase_with_a_secret_that_is_read_at_that_moment(job: Any, cloud: Any, change: Any) -> None:
    secret = json.dumps({"username": "shop", "password": "pa:ss word"})
    cloud("secretsmanager").create_secret(Name="shop/prod/database", SecretString=secret)
    for changed in ("true", "false"):
        ran = change("liquibase", url=URL, secret="shop/{environment}/database")
        assert (ran.code, ran.errors, ran.outputs["changed"]) == (0, [], changed)
    who = "jdbc:postgresql://prod.shop.example/shop shop pa:ss word"
    assert said(job) == [f"liquibase {what} {who}" for what in ("status --verbose", "update", "status --verbose")]
    assert ("add-mask", "", "pa:ss word") in ran.commands
    assert (ran.record["action"], ran.record["tool"], ran.record["result"]) == ("database-deploy", "liquibase", "pass")


def test_flyway_with_a_token_of_rds(job: Any, change: Any) -> None:
    for changed in ("true", "false"):
        ran = change("flyway", url=URL, user="dpra")
        assert (ran.code, ran.errors, ran.outputs["changed"]) == (0, [], changed)
    assert [line.split(" jdbc")[0] for line in said(job)] == [
        "flyway -outputType=json info",
        "flyway migrate",
        "flyway -outputType=json info",
    ]
    assert " dpra prod.shop.example:5432/?Action=connect&DBUser=dpra&X-Amz-Algorithm" in said(job)[0]


def test_a_command_shows_what_is_pending_before_it_changes_anything(job: Any, change: Any) -> None:
    own = {"preview": 'ls "$HOME/applied" > /dev/null 2>&1 || echo "add a column"', "command": 'touch "$HOME/applied"'}
    first, second = change("command", **own), change("command", **own)
    assert (first.outputs["changed"], second.outputs["changed"]) == ("true", "false")
    assert "| `add a column` |" in first.summary
    assert "the database of shop: no changes" in second.out


@pytest.mark.parametrize(
    ("tool", "settings", "says"),
    [
        ("command", {"preview": "exit 4", "command": "touch $HOME/x"}, "the preview of the database change failed"),
        ("command", {"preview": "echo 1", "command": "./migrate"}, "the database change failed with exit code 3"),
        ("command", {"command": "x"}, "the setting 'preview' is required with command"),
        ("command", {"preview": "x", "folder": "none"}, "the package has no folder 'none': pack it"),
        ("liquibase", {"url": URL, "secret": "nobody's"}, "ResourceNotFoundException"),
        ("flyway", {"url": "jdbc:oracle://x/y", "user": "a"}, "a token of RDS needs jdbc: and postgresql or mysql"),
        ("psql", {}, "the tool 'psql' is unknown: choose one of liquibase"),
        ("command", {"reversible": "perhaps"}, "the setting 'reversible' is required, true or false"),
        ("command", {"account": "000000000001"}, f"the credentials are of account {ACCOUNT}"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_says_why(job: Any, change: Any, tool: str, settings: dict[str, Any], says: str) -> None:
    ran = change(tool, **settings)
    assert ran.code == 1
    assert says in ran.errors[0]
    assert not Path(job.env["HOME"], "x").exists()


def test_another_release_is_not_run(job: Any, change: Any) -> None:
    (job.workspace / change.digest / "package.zip").write_bytes(b"forged")
    ran = change("command", preview="echo 1", command="true")
    assert "package.zip has the SHA-256" in ran.errors[0]


def test_in_production_the_record_says_what_cannot_be_undone(job: Any, bench: Bench, change: Any, cloud: Any) -> None:
    """... and the rollback stops there, unless a person says why it need not."""
    import record

    place = record.Place(REGION, "packages", "shop/record.json", ACCOUNT)
    good, bad = {"digest": "0" * 64, "commit": "0" * 40}, {"digest": change.digest, "commit": ONE}

    def lock(kept: Any) -> None:
        record.acquire_lock(kept, "7", bad, lambda *_: "ahead", 1e12, 100.0, False)
        kept["regions"][REGION] = {"good": good, "now": None}

    record.change(place, lock)
    own = {"preview": "echo drop a column", "command": "true"}
    about = {"wave": "1", "record": "s3://packages/shop/record.json", "record_region": REGION}
    watched = cloud("cloudwatch")
    rule = {"MetricName": "m", "Namespace": "n", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1}
    watched.put_metric_alarm(AlarmName="e", Threshold=1, ComparisonOperator="GreaterThanThreshold", **rule)
    watched.set_alarm_state(AlarmName="e", StateValue="ALARM", StateReason="test")
    about["alarms"] = '["e"]'
    ran = change("command", reversible=False, **own, **about)
    assert "e: in ALARM before the deployment" in ran.errors[0]
    assert record.read(place)[0]["regions"][REGION]["now"] is None
    assert change("command", reversible=False, override="it is the fix", **own, **about).code == 0
    now = record.read(place)[0]["regions"][REGION]["now"]
    assert (now["irreversible"], now["database"], now["state"]) == (True, ONE, "deploying")
    record.change(
        place, lambda kept: record.begin_region(kept, "7", REGION, 1, bad, 0.0, 100.0)
    )  # the software comes next
    assert record.read(place)[0]["regions"][REGION]["now"]["irreversible"] is True

    inputs = {"do": "rollback", "component": "shop", "account": ACCOUNT, "regions": REGION, "bucket": "packages"}
    inputs |= {
        "record": about["record"],
        "record_region": REGION,
        "stack": "shop",
        "signing_key": "arn:aws:kms:x",
        "token": "t",
    }
    ran = job.use("release", **inputs)
    assert ran.code == 1
    assert (
        "the database change of 111111111111 is irreversible, so there is no automatic rollback: release a fix"
        in ran.out
    )
    ran = job.use("release", **inputs, reason="the column is not read any more")
    assert "irreversible" not in ran.out  # it goes on to the release, which is not there
    assert record.read(place)[0]["regions"][REGION]["now"]["state"] == "rollback-failed"
