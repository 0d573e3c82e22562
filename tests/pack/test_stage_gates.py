"""The gates of a deployed stage: performance, resilience and dynamic security tests, with the real tools."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from dpra import resources

LOAD = """import http from "k6/http";
export const options = {{ vus: 1, iterations: 20{thresholds} }};
export default function () {{ http.get(__ENV.URL); }}
"""
OPENAPI = """openapi: 3.0.3
info: {title: shop, version: "1"}
paths:
  /health:
    get:
      responses:
        "200": {description: well, content: {application/json: {schema: {type: object}}}}
"""


def use(job: Any, web: Any, action: str, **inputs: str) -> Any:
    outputs = json.dumps({"ApiUrl": web.url, "Name": "shop"})
    return job.use("check", action=action, deployment_outputs=outputs, fail_on="high", **inputs)


def load(job: Any, web: Any, thresholds: str, **inputs: str) -> Any:
    said = f", thresholds: {{{thresholds}}}" if thresholds else ""
    job.write("tests/performance.js", LOAD.format(thresholds=said))
    return use(job, web, "performance-tests", **inputs)


def test_a_threshold_that_is_crossed_blocks_and_one_that_holds_passes(job: Any, web: Any) -> None:
    bad = load(job, web, '"http_req_duration": ["p(95)<0.0001"]')
    assert (bad.code, bad.record["result"], bad.record["tool"]) == (1, "fail", "k6"), bad.out
    assert "p(95)<0.0001 does not hold" in bad.errors[0]
    good = load(job, web, '"http_req_duration": ["p(95)<5000"]')
    assert (good.code, good.record["result"]) == (0, "pass"), good.out
    assert len(web.requests) == 40


def test_a_script_without_thresholds_blocks(job: Any, web: Any) -> None:
    """k6 itself exits 0, whatever happens."""
    ran = load(job, web, "")
    assert (ran.code, ran.record["result"]) == (1, "fail")
    assert "no thresholds" in ran.errors[0]


@pytest.mark.parametrize("script", ["export default function () {}\n", "broken(", None])
def test_a_script_that_asks_nothing_is_an_error(job: Any, web: Any, script: str | None) -> None:
    if script:
        job.write("tests/performance.js", script)
    ran = use(job, web, "performance-tests")
    assert (ran.code, ran.record["result"]) == (1, "error"), ran.out


def test_it_is_compared_with_the_last_good_run(job: Any, web: Any, tmp_path: Path) -> None:
    """Without a right in AWS: what it compares with is a file, and so is what it leaves."""
    history, thresholds = tmp_path / "performance.json", '"http_req_duration": ["p(95)<5000"]'
    where = {"history": str(history), "region": "eu-west-1"}
    first = load(job, web, thresholds, **where)
    assert (first.code, first.record["region"]) == (0, "eu-west-1"), first.out
    left = job.temp / "dpra/performance.json"
    kept = json.loads(left.read_text())
    assert kept["p95"] > 0
    left.unlink()
    history.write_text(json.dumps({"p95": kept["p95"] / 1000}))  # as if it had been a thousand times as fast
    slower = load(job, web, thresholds, **where)
    assert (slower.code, slower.record["result"]) == (1, "fail")
    assert "regression: 95 %25 of requests took up to" in slower.errors[0]
    assert not left.exists()  # what is no good run is nothing to compare with
    assert load(job, web, thresholds, regression="100000000", **where).code == 0
    history.write_text("[]")
    assert load(job, web, thresholds, **where).record["result"] == "error"


@pytest.fixture
def bucket(job: Any) -> Iterator[Any]:
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url, keys = f"http://{host}:{port}", {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
        job.env |= {"AWS_ENDPOINT_URL": url} | {name.upper(): value for name, value in keys.items()}
        reset = HTTPConnection(host, port)
        reset.request("POST", "/moto-api/reset")
        assert reset.getresponse().status == 200
        s3 = boto3.client("s3", endpoint_url=url, region_name="eu-west-1", **keys)
        s3.create_bucket(Bucket="gamma", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        yield s3
    finally:
        server.stop()


def history(job: Any, do: str, file: Path) -> subprocess.CompletedProcess[str]:
    given = {"INPUT_DO": do, "INPUT_FIGURES": "s3://gamma/shop/performance.json", "INPUT_REGION": "eu-west-1"}
    script = [sys.executable, "-I", "-B", resources.PACK / "performance-history/history.py"]
    env = {**os.environ, **job.env, **given, "INPUT_FILE": str(file), "GITHUB_SHA": "c" * 40}
    return subprocess.run(script, env=env, capture_output=True, text=True, check=False)


def test_the_figures_are_fetched_before_the_tests_and_kept_after_them(job: Any, bucket: Any, tmp_path: Path) -> None:
    before, after = tmp_path / "deployed/performance.json", tmp_path / "measured.json"
    assert history(job, "fetch", before).returncode == 0
    assert not before.exists()  # the first run
    assert "the tests left no figures" in history(job, "keep", after).stdout
    after.write_text('{"p95": 12.5, "commit": "somebody else\'s", "more": 1}')
    assert history(job, "keep", after).returncode == 0
    assert history(job, "fetch", before).returncode == 0
    assert json.loads(before.read_text()) == {"p95": 12.5, "commit": "c" * 40}


@pytest.mark.parametrize("left", ["", "[]", '{"p95": "x"}', '{"p95": NaN}', '{"p95": -1}', '{"p95": Infinity}', "{}"])
def test_what_is_no_figure_is_not_kept(job: Any, bucket: Any, tmp_path: Path, left: str) -> None:
    (tmp_path / "measured.json").write_text(left)
    ran = history(job, "keep", tmp_path / "measured.json")
    assert (ran.returncode, "are no figures" in ran.stdout) == (1, True), ran.stdout + ran.stderr
    assert not bucket.list_objects_v2(Bucket="gamma").get("Contents")


@pytest.mark.parametrize(("code", "result"), [(200, "pass"), (500, "fail")])
def test_an_api_that_answers_with_a_server_error_blocks(job: Any, web: Any, code: int, result: str) -> None:
    web.answers = [(code, {"Content-Type": "application/json"}, b"{}")]
    web.get = None
    job.write("openapi.yml", OPENAPI)
    ran = use(job, web, "dast")
    assert (ran.code, ran.record["result"], ran.record["tool"]) == (0 if code == 200 else 1, result, "schemathesis"), (
        ran.out
    )
    assert len(web.requests) > 1


@pytest.mark.parametrize("document", [None, "", "openapi: 3.0.3\ninfo: {title: a, version: '1'}\npaths: {}\n"])
def test_an_api_of_which_nothing_is_known_is_an_error(job: Any, web: Any, document: str | None) -> None:
    if document is not None:
        job.write("openapi.yml", document)
    ran = use(job, web, "dast")
    assert (ran.code, ran.record["result"]) == (1, "error"), ran.out


def experiment(url: str, flag: Path, faults: list[str]) -> str:
    """Steady while the service answers and a file is there."""
    probes = [
        {"type": "probe", "name": "answers", "tolerance": 200, "provider": {"type": "http", "url": url, "timeout": 3}},
        {
            "type": "probe",
            "name": "there",
            "tolerance": 0,
            "provider": {"type": "process", "path": "test", "arguments": ["-e", str(flag)]},
        },
    ]
    method = [
        {"type": "action", "name": fault, "provider": {"type": "process", "path": fault, "arguments": [str(flag)]}}
        for fault in faults
    ]
    document = {"version": "1.0.0", "title": "shop", "description": "holds", "method": method}
    return json.dumps(document | {"steady-state-hypothesis": {"title": "steady", "probes": probes}})


@pytest.mark.parametrize(
    ("there", "faults", "rule"),
    [(True, ["stat"], ""), (True, ["rm"], "deviated"), (False, ["stat"], "not-steady"), (True, [], "no-faults")],
)
def test_a_state_that_faults_disturb_blocks(job: Any, web: Any, there: bool, faults: list[str], rule: str) -> None:
    """chaostoolkit itself exits 0 where the state was not steady at the beginning."""
    flag = job.root / "flag"
    if there:
        flag.touch()
    job.write("tests/resilience.json", experiment(web.url, flag, faults))
    ran = use(job, web, "resilience-tests")
    assert (ran.code, ran.record["result"], ran.record["tool"]) == (
        (1, "fail", "chaostoolkit") if rule else (0, "pass", "chaostoolkit")
    ), ran.out
    assert not rule or f"::{rule}: " in ran.errors[0]


# ---- Other tools than the defaults


def own(job: Any, web: Any, report: str, **inputs: str) -> Any:
    script = f'curl --silent --fail "$URL" > /dev/null\nprintf %s \'{report}\' > "$PERFORMANCE_REPORT"\n'
    job.write("tests/performance.sh", script)
    return use(job, web, "performance-tests", tool="project", **inputs)


@pytest.mark.parametrize(
    ("report", "result"),
    [
        ('{"requests": 9, "p95": 1.5, "thresholds": {"quick": true}}', "pass"),
        ('{"requests": 9, "p95": 1.5, "thresholds": {"quick": false}}', "fail"),
        ('{"requests": 9, "p95": 1.5, "thresholds": {"quick": "yes"}}', "fail"),
        ('{"requests": 9, "p95": 1.5, "thresholds": {}}', "fail"),
        ('{"requests": 0, "p95": 1.5, "thresholds": {"quick": true}}', "error"),
        ('{"requests": 9, "thresholds": {"quick": true}}', "error"),
        ("", "error"),
    ],
)
def test_the_projects_own_script_is_judged_by_what_it_measured(job: Any, web: Any, report: str, result: str) -> None:
    ran = own(job, web, report)
    assert (ran.code, ran.record["result"], ran.record["tool"]) == (int(result != "pass"), result, "project"), ran.out
    assert len(web.requests) == 1


def test_a_script_of_the_projects_that_fails_is_an_error(job: Any, web: Any) -> None:
    web.get = None
    web.answers = [(500, {}, b"")]
    ran = own(job, web, '{"requests": 9, "p95": 1.5, "thresholds": {"quick": true}}')
    assert (ran.code, ran.record["result"]) == (1, "error"), ran.out


ALARM = [{"source": "aws:cloudwatch:alarm", "value": "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:Errors"}]
STOP = {"stop": {"actionId": "aws:ec2:stop-instances", "targets": {"Instances": "one"}}}


@pytest.fixture
def fis(hurried: Any, job: Any) -> Any:
    """AWS on this machine with FIS: makes an experiment template, gives its id."""
    import boto3
    from moto.fis.models import fis_backends
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "eu-west-1"}
    client = boto3.client("fis", endpoint_url=f"http://{host}:{port}", **keys)
    job.env |= {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    job.env |= {"AWS_MAX_ATTEMPTS": "1"}

    def template(**said: Any) -> Any:
        targets = {"one": {"resourceType": "aws:ec2:instance", "resourceTags": {"a": "b"}, "selectionMode": "ALL"}}
        whole = {"actions": STOP, "stopConditions": ALARM, "targets": targets} | said
        made = client.create_experiment_template(
            clientToken="x", description="d", roleArn="arn:aws:iam::123456789012:role/fis", **whole
        )
        templates = fis_backends["123456789012"]["eu-west-1"].experiment_templates
        real = "EXT1a2b3c4d5e6f7g"  # moto's ids do not look like AWS's
        templates[real] = templates.pop(made["experimentTemplate"]["id"])
        return real, client

    yield template
    server.stop()


def experimented(job: Any, template: str) -> Any:
    outputs = json.dumps({"Experiment": template, "Name": "shop"})
    return job.use("check", action="resilience-tests", tool="fis", deployment_outputs=outputs, region="eu-west-1")


def test_an_experiment_of_fis_runs_to_its_end(job: Any, fis: Any) -> None:
    template, client = fis()
    ran = experimented(job, template)
    assert (ran.code, ran.record["result"], ran.record["tool"]) == (0, "pass", "fis"), ran.out
    [experiment] = client.list_experiments()["experiments"]
    assert experiment["state"]["status"] == "completed"


def test_an_experiment_without_an_alarm_that_stops_it_blocks(job: Any, fis: Any) -> None:
    ran = experimented(job, fis(stopConditions=[{"source": "none"}])[0])
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    assert "no-stop-condition" in ran.errors[0]


def test_an_experiment_that_an_alarm_stops_blocks(job: Any, fis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.fis.models import Experiment

    def advance(self: Any) -> None:
        self.status = "stopped"

    monkeypatch.setattr(Experiment, "advance", advance)
    ran = experimented(job, fis()[0])
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    assert "::stopped: " in ran.errors[0]


@pytest.mark.parametrize("template", ["EXT00000000000000", "shop"])
def test_without_an_experiment_it_is_an_error(job: Any, fis: Any, template: str) -> None:
    ran = experimented(job, template)
    assert (ran.code, ran.record["result"]) == (1, "error"), ran.out
