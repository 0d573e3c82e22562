"""Each deploy tool brings a first release, a second one, and the first one again; what stops it says the way out.

Against moto where moto has the service, with the real CLI and the real Terraform; else (ECS) the exact requests, held
against botocore's model of the service."""

import io
import json
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

ACCOUNT, REGION = "123456789012", "eu-west-1"
ONE, TWO = "1" * 40, "2" * 40  # commits


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """moto, mended, and the AWS CLI in a process of its own: what a program needs in its environment to use them."""
    from dpra.rehearsal import aws_cli, mends
    from moto.server import ThreadedMotoServer

    mends.mend()
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    folder = tmp_path_factory.mktemp("aws")
    with aws_cli.started(folder):
        yield {
            "PATH": f"{folder}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
        }
    running.stop()


class Bench:
    """A deploy tool, called as the actions call it."""

    def __init__(self, job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.job, self.monkeypatch = job, monkeypatch
        self.happened: list[str] = []
        for name, value in {**job.env, "GITHUB_STEP_SUMMARY": str(job.root / "summary.md")}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("time.sleep", lambda seconds: self.happened.append(f"slept {seconds}"))
        self.given(component="shop", environment="gamma", account=ACCOUNT)

    def given(self, **inputs: str) -> None:
        for name, value in inputs.items():
            self.monkeypatch.setenv(f"INPUT_{name.upper()}", value)

    def use(self, tool: str, stack: str = "", **settings: Any) -> None:
        self.given(tool=tool, stack=stack, settings=json.dumps(settings))

    @property
    def target(self) -> Any:
        import deployment

        return deployment.target(REGION, "packages")

    @property
    def tool(self) -> Any:
        import deployment

        return deployment.tool()

    def release(self, commit: str, files: dict[str, str], template: str = "", image: str = "") -> str:
        """A release of these files; its digest."""
        import release

        folder = self.job.workspace / "making"
        folder.mkdir()
        with zipfile.ZipFile(folder / "package.zip", "w") as package:
            for name, content in files.items():
                entry = zipfile.ZipInfo(name)
                entry.external_attr = 0o755 << 16
                package.writestr(entry, content)
        if template:
            (folder / "template.yml").write_text(template)
        self.monkeypatch.setenv("GITHUB_SHA", commit)
        digest = str(release.describe(folder, "shop"))
        if image:
            (folder / "image.json").write_text(json.dumps({"uri": image}))
        folder.rename(self.job.workspace / digest)
        return digest

    def deploy(self, digest: str, commit: str = ONE, before: Callable[[], None] | None = None, **change: Any) -> Any:
        import deployment

        def happened() -> None:
            self.happened.append("before")
            if before:
                before()

        about = {"digest": digest, "commit": commit, "stored": False} | change
        return self.tool.deploy(
            self.target, deployment.Change(release=self.job.workspace / digest, before=happened, **about)
        )

    def back(self, digest: str, commit: str = ONE) -> None:
        """As a rollback does it."""
        self.tool.settled(self.target)
        self.deploy(digest, commit, stored=True)

    @property
    def running(self) -> str:
        return str(self.tool.running(self.target))

    def says(self, capsys: pytest.CaptureFixture[str]) -> str:
        return capsys.readouterr().out


@pytest.fixture
def bench(job: Any, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(job, monkeypatch)


@pytest.fixture
def cloud(bench: Bench, server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Clients of an AWS with nothing but a bucket for packages; requests of the tool that change something are kept."""
    from dpra.rehearsal import mends

    mends.forget()
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    s3 = client("s3")
    s3.create_bucket(Bucket="packages", CreateBucketConfiguration={"LocationConstraint": REGION})
    return client


def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION)


def stop() -> None:
    import runner

    raise runner.Failed("the record cannot be written")


def failed(says: str) -> Any:
    import runner

    return pytest.raises(runner.Failed, match=says)


# ---- S3


SITE = {
    "bucket": "site-{environment}-{account}",
    "immutable": ["assets/*"],
    "url": "https://{environment}.shop.example",
}


@pytest.fixture
def site(bench: Bench, cloud: Any) -> Any:
    """The objects of a site's bucket: key -> content and what a browser is told."""
    s3 = cloud("s3")
    name = f"site-gamma-{ACCOUNT}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=name, Key="robots.txt", Body=b"not dpra's")
    bench.use("s3", **SITE)

    def objects() -> dict[str, tuple[str, str]]:
        found = {}
        for item in s3.list_objects_v2(Bucket=name).get("Contents", []):
            one = s3.get_object(Bucket=name, Key=item["Key"])
            found[item["Key"]] = (one["Body"].read().decode(), one.get("CacheControl", ""))
        found.pop(".dpra.json", None)
        return found

    return objects


PAGES = {"index.html": "<p>1</p>", "about/index.html": "same", "assets/app.1.js": "one"}
PAGES_TWO = {"index.html": "<p>2</p>", "about/index.html": "same", "assets/app.2.js": "two"}


def test_s3_there_and_back(bench: Bench, site: Any, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = bench.release(ONE, PAGES), bench.release(TWO, PAGES_TWO)
    assert bench.running == ""
    done = bench.deploy(one)
    assert (bench.running, done.outputs) == (
        one,
        {"Bucket": f"site-gamma-{ACCOUNT}", "Url": "https://gamma.shop.example"},
    )
    asked, kept = "public, max-age=0, must-revalidate", "public, max-age=31536000, immutable"
    first = {
        "about/index.html": ("same", asked),
        "assets/app.1.js": ("one", kept),
        "index.html": ("<p>1</p>", asked),
        "robots.txt": ("not dpra's", ""),
    }
    assert site() == first
    bench.says(capsys)
    bench.deploy(two, TWO)
    said = bench.says(capsys)
    assert [line for line in said.splitlines() if "  " in line or line.startswith(("add", "change", "delete"))] == [
        "add assets/app.2.js",
        "change index.html",
        "delete assets/app.1.js",
    ]
    assert set(site()) == {"about/index.html", "assets/app.2.js", "index.html", "robots.txt"}
    bench.back(one)
    assert (site(), bench.running) == (first, one)
    bench.deploy(one)
    assert "no changes" in bench.says(capsys)


def test_s3_changes_nothing_before_it_may(bench: Bench, site: Any) -> None:
    one = bench.release(ONE, PAGES)
    with failed("the record cannot be written"):
        bench.deploy(one, before=stop)
    assert set(site()) == {"robots.txt"}
    assert bench.running == ""


def test_s3_what_did_not_end_is_ended_by_the_next(
    bench: Bench, site: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import aws

    one, two = bench.release(ONE, PAGES), bench.release(TWO, PAGES_TWO)
    bench.deploy(one)
    call = aws.call
    monkeypatch.setattr(aws, "call", lambda *a, **b: stop() if b.get("Delete") else call(*a, **b))
    with failed("cannot be written"):
        bench.deploy(two, TWO)
    monkeypatch.setattr(aws, "call", call)
    assert bench.running == ""  # nobody knows
    bench.back(one)
    assert "did not end; this one replaces it" in bench.says(capsys)
    assert bench.running == one
    assert set(site()) == {"about/index.html", "assets/app.1.js", "index.html", "robots.txt"}
    assert site()["index.html"][0] == "<p>1</p>"


def test_s3_tells_cloudfront_and_waits(bench: Bench, site: Any, cloud: Any) -> None:
    import runner

    origin = {"Id": "o", "DomainName": "site.s3.amazonaws.com", "S3OriginConfig": {"OriginAccessIdentity": ""}}
    behaviour = {"TargetOriginId": "o", "ViewerProtocolPolicy": "https-only", "MinTTL": 0}
    behaviour["ForwardedValues"] = {"QueryString": False, "Cookies": {"Forward": "none"}}  # type: ignore[assignment]
    configuration = {
        "CallerReference": "1", "Comment": "", "Enabled": True, "Origins": {"Quantity": 1, "Items": [origin]},
        "Aliases": {"Quantity": 1, "Items": ["gamma.shop.example"]}, "DefaultCacheBehavior": behaviour,
    }  # fmt: skip
    made = cloud("cloudfront").create_distribution(DistributionConfig=configuration)["Distribution"]
    bench.use("s3", **SITE, distribution="{environment}.shop.example")
    done = bench.deploy(bench.release(ONE, PAGES))
    [listed] = cloud("cloudfront").list_invalidations(DistributionId=made["Id"])["InvalidationList"]["Items"]
    assert done.change == listed["Id"]
    bench.use("s3", **SITE, distribution="other.example")
    with pytest.raises(runner.Failed, match="there is no CloudFront distribution with the domain name other.example"):
        bench.deploy(bench.release(TWO, PAGES))


def test_s3_needs_its_bucket(bench: Bench, cloud: Any) -> None:
    bench.use("s3", bucket="nowhere")
    with failed("there is no bucket nowhere: this tool deploys to one that is there"):
        bench.deploy(bench.release(ONE, PAGES))


# ---- Lambda


def zipped(text: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as package:
        package.writestr("app.py", text)
    return file.getvalue()


@pytest.fixture
def function(bench: Bench, cloud: Any) -> Any:
    """A function; what the alias does."""
    role = cloud("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    lambda_ = cloud("lambda")
    lambda_.create_function(
        FunctionName="shop-gamma", Runtime="python3.13", Role=role, Handler="app.handler",
        Code={"ZipFile": zipped("0")},
    )  # fmt: skip
    bench.use("lambda", function="shop-{environment}", strategy="linear", percent=40, pause=3)

    def code() -> str:
        """What callers of the alias get."""
        alias = lambda_.get_alias(FunctionName="shop-gamma", Name="live")
        assert not (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights")
        from moto.awslambda.models import lambda_backends

        version = lambda_backends[ACCOUNT][REGION].get_function("shop-gamma", alias["FunctionVersion"])
        return zipfile.ZipFile(io.BytesIO(version.code_bytes)).read("app.py").decode()

    return code


def watched(cloud: Any, name: str = "errors", state: str = "OK") -> str:
    cloudwatch = cloud("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=name, MetricName="m", Namespace="n", Statistic="Sum", Period=60, EvaluationPeriods=1,
        Threshold=1, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="test")
    return f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"


def test_lambda_there_and_back(bench: Bench, cloud: Any, function: Any, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = bench.release(ONE, {"app.py": "one"}), bench.release(TWO, {"app.py": "two"})
    alarm = watched(cloud)
    assert bench.running == ""
    done = bench.deploy(one)
    assert (function(), bench.running) == ("one", one)
    assert done.outputs["FunctionArn"].endswith(":function:shop-gamma:live")
    assert not any("slept 180" in what for what in bench.happened)  # there was nothing to shift from
    bench.says(capsys)
    bench.deploy(two, TWO, triggers=[alarm])
    said = bench.says(capsys)
    assert "40% then 80% then 100%" in said
    assert [line for line in said.splitlines() if "of the calls go" in line] == [
        "40% of the calls go to version 2",
        "80% of the calls go to version 2",
    ]
    assert bench.happened.count("slept 180") == 2
    assert (function(), bench.running) == ("two", two)
    bench.back(one)
    assert (function(), bench.running) == ("one", one)


def test_lambda_goes_back_where_an_alarm_fires(bench: Bench, cloud: Any, function: Any) -> None:
    one, two = bench.release(ONE, {"app.py": "one"}), bench.release(TWO, {"app.py": "two"})
    bench.deploy(one)
    for alarm, says in (
        (watched(cloud, "errors", "ALARM"), "the shift is taken back: errors: in ALARM"),
        (f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:gone", "gone: inconclusive: gone from CloudWatch"),
    ):
        with failed(says):
            bench.deploy(two, TWO, triggers=[alarm])
        assert (function(), bench.running) == ("one", one)


def test_lambda_an_alias_in_mid_shift_is_left_alone_and_a_rollback_ends_it(
    bench: Bench, cloud: Any, function: Any
) -> None:
    one, two = bench.release(ONE, {"app.py": "one"}), bench.release(TWO, {"app.py": "two"})
    bench.deploy(one)
    lambda_ = cloud("lambda")
    lambda_.update_function_code(FunctionName="shop-gamma", ZipFile=zipped("x"))
    lambda_.publish_version(FunctionName="shop-gamma")
    lambda_.update_alias(
        FunctionName="shop-gamma",
        Name="live",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.1}},
    )
    assert bench.running == ""
    with failed(r"in mid-shift: 10% go to version 2.*aws lambda update-alias --function-name shop-gamma --name live"):
        bench.deploy(two, TWO)
    assert bench.happened.count("before") == 1  # of the first one
    bench.back(one)
    assert (function(), bench.running) == ("one", one)


def test_lambda_changes_nothing_before_it_may(bench: Bench, cloud: Any, function: Any) -> None:
    before = cloud("lambda").get_function_configuration(FunctionName="shop-gamma")
    with failed("the record cannot be written"):
        bench.deploy(bench.release(ONE, {"app.py": "one"}), before=stop)
    after = cloud("lambda").get_function_configuration(FunctionName="shop-gamma")
    assert (after["CodeSha256"], after["LastModified"]) == (before["CodeSha256"], before["LastModified"])
    bench.use("lambda", function="nobody")
    with failed("there is no function nobody"):
        bench.deploy(bench.release(TWO, {"app.py": "one"}))


# ---- Terraform


MODULE = """
terraform {
  backend "s3" {}
}
variable "dpra_digest" {}
variable "dpra_environment" {}
resource "terraform_data" "release" {
  input = "NUMBER in ${var.dpra_environment}"
}
output "dpra_digest" { value = var.dpra_digest }
output "Url" { value = "https://${var.dpra_environment}.example/${terraform_data.release.output}" }
output "secret" {
  value     = "hidden"
  sensitive = true
}
"""


@pytest.fixture
def terraform(bench: Bench, cloud: Any, needs: Any) -> Any:
    needs("terraform")
    cloud("s3").create_bucket(Bucket="state", CreateBucketConfiguration={"LocationConstraint": REGION})
    bench.use("terraform", bucket="state", folder="infra")
    return cloud("s3")


KEY = "dpra/shop/gamma/eu-west-1.tfstate"


def test_terraform_there_and_back(bench: Bench, terraform: Any, capsys: pytest.CaptureFixture[str]) -> None:
    one = bench.release(ONE, {"infra/main.tf": MODULE.replace("NUMBER", "one")})
    two = bench.release(TWO, {"infra/main.tf": MODULE.replace("NUMBER", "two")})
    assert bench.running == ""
    done = bench.deploy(one)
    assert done.outputs == {"dpra_digest": one, "Url": "https://gamma.example/one in gamma"}
    assert "create terraform_data.release" in bench.says(capsys)
    bench.deploy(two, TWO)
    assert "update terraform_data.release" in bench.says(capsys)
    assert bench.running == two
    bench.back(one)
    assert bench.running == one
    state = json.loads(terraform.get_object(Bucket="state", Key=KEY)["Body"].read())
    assert state["outputs"]["Url"]["value"] == "https://gamma.example/one in gamma"


def test_terraform_applies_nothing_before_it_may(bench: Bench, terraform: Any) -> None:
    one = bench.release(ONE, {"infra/main.tf": MODULE})
    with failed("the record cannot be written"):
        bench.deploy(one, before=stop)
    assert terraform.list_objects_v2(Bucket="state").get("KeyCount") == 0
    for files, says in (
        (
            {"infra/main.tf": MODULE.replace('output "dpra_digest" { value = var.dpra_digest }', "")},
            "must say what runs",
        ),
        ({"infra/main.tf": MODULE + "\nresource {"}, "terraform init failed"),
        ({"main.tf": MODULE}, "there is no Terraform module in 'infra' of the package"),
    ):
        with failed(says):
            bench.deploy(bench.release(ONE, files))
    assert bench.happened.count("before") == 1
    assert terraform.list_objects_v2(Bucket="state").get("KeyCount") == 0


def test_terraform_a_lock_that_is_held_is_told_with_the_way_out(bench: Bench, terraform: Any) -> None:
    one = bench.release(ONE, {"infra/main.tf": MODULE})
    lock = {"ID": "0a1b", "Operation": "OperationTypeApply", "Info": "", "Who": "runner@other", "Version": "1.11.4",
            "Created": "2026-11-24T10:00:00Z", "Path": f"state/{KEY}"}  # fmt: skip
    terraform.put_object(Bucket="state", Key=f"{KEY}.tflock", Body=json.dumps(lock).encode())
    says = "locked by runner@other since 2026-11-24.*terraform force-unlock 0a1b"
    with failed(says):
        bench.deploy(one)
    with failed(says):
        bench.tool.settled(bench.target)
    assert "before" not in bench.happened
