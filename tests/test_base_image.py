"""An application that is made on a golden image: what is generated, who may read what, and what a rehearsal shows."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import rights
from dpra import catalogue, problems, render
from dpra.problems import PlanError
from dpra.rehearsal import permissions
from dpra.spec import reader
from ruamel.yaml import YAML

MINIMAL = (Path(__file__).parent / "specs/minimal.yml").read_text("utf-8")
BASE = 'base: {image: base, account: "777777777777"}\n'
READER = "arn:aws:iam::777777777777:role/dpra-base-readers"
SPEC = """name: base
pipeline: compute-image
repository: acme/base
regions: [eu-west-1]
environments: {test: {account: "666666666666"}, prod: {account: "777777777777"}}
image: {accounts: ["444444444444"]}
"""


def planned(more: str, spec: str = MINIMAL, root: Path | None = None) -> Any:
    return problems.planned(reader.read((spec + more).encode(), catalogue.words()), root)


def generated(more: str) -> dict[str, Any]:
    load = YAML(pure=True).load
    found = render.files(planned(more)).items()
    return {path: load(file.content) for path, file in found if path.endswith(".yml")}


def uses(job: Any) -> list[Any]:
    return [step["with"] for step in job["steps"] if str(step.get("uses")).endswith("/base")]


def test_a_machine_is_taken_before_the_release_is_signed_and_watched_at_night() -> None:
    files = generated(BASE)
    jobs = files[".github/workflows/pipeline.yml"]["jobs"]
    [taken] = uses(jobs["artifacts"])
    assert (taken["do"], taken["image"], taken["reader"]) == ("take", "base", READER)
    names = [str(step.get("uses")).rpartition("/")[2] for step in jobs["artifacts"]["steps"]]
    assert names.index("base") < names.index("store")
    assert taken["regions"] == "eu-west-1"
    night = files[".github/workflows/nightly.yml"]["jobs"]
    [watched] = uses(night["base"])
    assert (watched["do"], watched["bucket"]) == ("watch", "${{ env.DPRA_STORE }}")
    assert night["base"]["permissions"] == {"contents": "read", "id-token": "write", "issues": "write"}
    assert night["nightly-state"]["needs"] == ["security", "base"]


def test_every_region_that_is_deployed_to_is_asked_for() -> None:
    more = BASE.replace("}", ", region: us-west-2}")
    spec = MINIMAL.replace("regions: [eu-west-1]", "regions: [eu-west-1, us-east-1]")
    plan = planned(more, spec)
    assert (plan.base["region"], plan.base["regions"]) == ("us-west-2", "eu-west-1 us-east-1")


def test_a_container_is_only_watched_by_its_dockerfile() -> None:
    files = generated(BASE + "language: container\n")
    assert uses(files[".github/workflows/pipeline.yml"]["jobs"]["artifacts"]) == []
    [watched] = uses(files[".github/workflows/nightly.yml"]["jobs"]["base"])
    assert (watched["file"], "regions" in watched) == ("Dockerfile", False)


def test_without_a_base_there_is_neither_job_nor_role() -> None:
    files = generated("")
    assert "base" not in files[".github/workflows/nightly.yml"]["jobs"]
    assert "BaseRole" not in files["infrastructure/dpra/build.yml"]["Resources"]
    assert "dpra-base-readers" not in str(files)


@pytest.mark.parametrize(
    ("more", "key", "says"),
    [
        (
            "deploy: {with: s3, s3: {bucket: a-b-c}}\n",
            "base",
            "s3 deploys on no machine; these take one: cloudformation",
        ),
        ("", "base.file", "goes together with language: container"),
    ],
)
def test_what_nothing_would_take_is_told(more: str, key: str, says: str) -> None:
    base = BASE if more else BASE.replace("}", ", file: a/Dockerfile}")
    spec = MINIMAL.replace("gamma: {", "gamma: {alarms: [a], ").replace("prod: {", "prod: {alarms: [a], ")
    with pytest.raises(PlanError) as refused:
        planned(base + more, spec)
    assert says in refused.value.problems[key]


def test_a_dockerfile_that_is_made_from_something_else_is_told_before_anything_is_generated(tmp_path: Path) -> None:
    more = BASE + "language: container\n"

    def found() -> str:
        try:
            planned(more, MINIMAL, tmp_path)
        except PlanError as refused:
            return refused.problems["base.file"]
        return ""

    assert "Dockerfile does not exist" in found()
    image = "777777777777.dkr.ecr.eu-west-1.amazonaws.com/images/base"
    for text in (f"FROM debian@sha256:{'a' * 64}\n", f"FROM {image}:latest\n", f"# FROM {image}@sha256:{'a' * 64}\n"):
        (tmp_path / "Dockerfile").write_text(text)
        assert "it is not made on this image" in found()
    (tmp_path / "Dockerfile").write_text(f"FROM {image}@sha256:{'a' * 64} AS x\nFROM x\n")
    assert found() == ""


# ---- Who may what


@pytest.mark.parametrize(
    ("more", "principal", "condition"),
    [
        ('image: {accounts: ["444444444444"]}\n', {"AWS": ["arn:aws:iam::444444444444:root"]}, None),
        (
            "image: {organization: o-a1b2c3d4e5}\n",
            {"AWS": "*"},
            {"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}},
        ),
    ],
)
def test_who_may_use_an_image_may_see_which_there_are(more: str, principal: Any, condition: Any) -> None:
    plan = planned(more, SPEC.partition("image:")[0])
    text = render.infrastructure(plan)["infrastructure/dpra/prod.yml"]
    role = YAML(typ="safe", pure=True).load(re.sub("!(Sub|Ref|Equals|GetAtt) ", "", text))["Resources"]["ReadersRole"][
        "Properties"
    ]
    [trust] = role["AssumeRolePolicyDocument"]["Statement"]
    said = json.loads(json.dumps(trust["Principal"]).replace("${AWS::Partition}", "aws"))
    assert (role["RoleName"], said, trust.get("Condition")) == ("dpra-base-readers", principal, condition)


def test_whose_image_nobody_else_may_use_has_no_such_role() -> None:
    files = render.infrastructure(planned("", SPEC.partition("image:")[0]))
    assert not any("readers" in text for text in files.values())


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("ssm:GetParametersByPath", "parameter/images/base", True),
        ("ssm:GetParameter", "parameter/images/base/latest", True),
        ("ssm:GetParameter", "parameter/images/base-2/latest", False),
        ("ssm:GetParameter", "parameter/shop/password", False),
        ("ssm:PutParameter", "parameter/images/base/latest", False),
    ],
)
def test_a_reader_reads_the_images_parameters_and_nothing_else(action: str, resource: str, allowed: bool) -> None:
    found = [{"Statement": rights.of(SPEC, "prod", "ReadersRole")}]
    assert permissions.allows(found, action, f"arn:aws:ssm:eu-west-1:777777777777:{resource}", {}) is allowed


@pytest.mark.parametrize("role", ["BaseRole", "ArtifactsRole"])
def test_the_jobs_roles_take_the_readers_and_no_other(role: str) -> None:
    found = [{"Statement": rights.of(MINIMAL + BASE, "build", role)}]
    assert permissions.allows(found, "sts:AssumeRole", READER, {})
    assert not permissions.allows(found, "sts:AssumeRole", READER.replace("base-readers", "other-readers"), {})
    writes = permissions.allows(found, "s3:PutObject", "arn:aws:s3:::b/shop/x/base.json", {})
    assert not writes


# ---- A rehearsal

PARAMETER = "  BaseImage:\n    Type: AWS::EC2::Image::Id\n"
MACHINES = """  Machines:
    Type: AWS::EC2::LaunchTemplate
    Properties:
      LaunchTemplateData:
        ImageId: !Ref BaseImage
        InstanceType: t3.small
        MetadataOptions: {HttpTokens: required}
"""


@pytest.mark.slow
def test_a_release_runs_on_the_ami_of_its_time_and_who_falls_behind_is_told(
    dpra: Any, copy: Path, tmp_path: Path
) -> None:
    with (copy / "dpra.yml").open("a") as file:
        file.write(BASE)
    template = copy / "infrastructure/template.yml"
    text = template.read_text().replace("Resources:\n", f"{PARAMETER}Resources:\n{MACHINES}", 1)
    template.write_text(text.replace("Outputs:\n", "Outputs:\n  Base:\n    Value: !Ref BaseImage\n", 1))
    assert dpra("generate", cwd=copy).returncode == 0
    out = tmp_path / "out.json"
    words = ("rehearse", "--offline", "--scenario", "a-newer-base-image", "--json", out)
    ran = dpra(*words, cwd=copy)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "kept  a-newer-base-image" in ran.stdout
    [proof] = json.loads(out.read_text())["scenarios"]
    assert proof["kept"]
