"""A release is the same bytes for the same input, and nothing but what was built is deployed."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

FILL = 'cd "$PACKAGE_DIR"; mkdir lib; echo 1 > lib/b.py; echo 2 > a.sh; chmod 700 a.sh'
DEPLOYMENT = {
    "component": "shop",
    "environment": "beta",
    "account": "123456789012",
    "region": "eu-west-1",
    "stack": "shop",
    "bucket": "packages",
}


def package(job: Any, command: str = FILL, **inputs: str) -> Any:
    job.write("infrastructure/template.yml", "Resources: {}\n")
    return job.use("package", **{"component": "shop", "command": command} | inputs)


def test_what_a_release_is(job: Any) -> None:
    ran = package(job)
    assert (ran.code, ran.errors) == (0, [])
    out = Path(ran.outputs["path"])
    manifest = (out / "release.json").read_bytes()
    sums = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in ("package.zip", "template.yml")}
    expected = {"schema": 1, "component": "shop", "commit": job.env["GITHUB_SHA"], "files": sums}
    assert manifest.decode() == json.dumps(expected, sort_keys=True) + "\n"
    assert ran.outputs["digest"] == hashlib.sha256(manifest).hexdigest() == ran.record["where"]
    assert (ran.record["action"], ran.record["result"]) == ("package-and-store-artifacts", "pass")
    assert (out / "template.yml").read_text() == "Resources: {}\n"
    with zipfile.ZipFile(out / "package.zip") as held:
        assert [(entry.filename, oct(entry.external_attr >> 16)) for entry in held.infolist()] == [
            ("a.sh", "0o100755"),
            ("lib/b.py", "0o100644"),
        ]
        assert {entry.date_time for entry in held.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_same_input_gives_the_same_digest(job: Any) -> None:
    other_order = (
        'umask 077; cd "$PACKAGE_DIR"; echo 2 > a.sh; chmod 755 a.sh; mkdir lib empty; echo 1 > lib/b.py; '
        "touch -d 2001-01-01 lib/b.py"
    )
    first, second, third = package(job), package(job, other_order), package(job, FILL + "; echo 3 > c")
    assert first.outputs["digest"] == second.outputs["digest"] != third.outputs["digest"]


def test_documents_and_a_program_are_packed_as_data_and_no_program_replaces_a_document(job: Any) -> None:
    """The job that packs them runs nothing of either."""
    program = package(
        job, 'cd "$PACKAGE_DIR"; mkdir configuration; echo evil > configuration/index.json; echo 1 > run; chmod +x run'
    )
    kept = job.temp.parent / "program"
    shutil.copytree(program.outputs["path"], kept)
    documents = job.temp.parent / "built" / "configuration"
    (documents / "beta").mkdir(parents=True)
    (documents / "index.json").write_text("{}\n")
    (documents / "beta/flags.json").write_text("[]\n")
    ran = package(job, "", program=str(kept), documents=str(documents))
    assert (ran.code, ran.errors) == (0, [])
    with zipfile.ZipFile(Path(ran.outputs["path"]) / "package.zip") as held:
        assert [(entry.filename, oct(entry.external_attr >> 16)) for entry in held.infolist()] == [
            ("configuration/beta/flags.json", "0o100644"),
            ("configuration/index.json", "0o100644"),
            ("run", "0o100755"),
        ]
        assert held.read("configuration/index.json") == b"{}\n"


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"command": "true"}, "the package is empty"),
        ({"command": 'mkdir "$PACKAGE_DIR/empty"'}, "the package is empty"),
        ({"command": FILL + "; exit 4"}, "the package command failed with exit code 4"),
        ({"command": 'ln -s /etc/passwd "$PACKAGE_DIR/x"'}, "'x' is not a regular file"),
        ({"command": 'ln -s /etc "$PACKAGE_DIR/x"'}, "'x' is not a regular file"),
        ({"command": 'mkfifo "$PACKAGE_DIR/x"'}, "'x' is not a regular file"),
        ({"command": "touch \"$PACKAGE_DIR/\"$'a\\nb'"}, "must be printable"),
        ({"command": "touch \"$PACKAGE_DIR/\"$'a\\xff'"}, "must be printable"),
        ({"template": "other.yml"}, "the template 'other.yml' does not exist: create it, or say deploy.template"),
        (
            {"template": "other.yml", "image": "."},
            "the template 'other.yml' does not exist: create it, or say image.template",
        ),
        ({"template": "large.yml"}, "is larger than 51200 bytes"),
        ({"component": ""}, "the input 'component' is required"),
    ],
)
def test_what_cannot_be_released_fails(job: Any, inputs: dict[str, str], says: str) -> None:
    job.write("large.yml", "#" * 51_201)
    ran = package(job, **inputs)
    assert ran.code == 1
    assert says in ran.errors[0]
    assert ran.outputs["digest"] == ""
    assert ran.record["result"] in ("fail", "error")


def test_without_a_command_the_template_is_the_release(job: Any) -> None:
    ran = package(job, "")
    assert (ran.code, ran.errors) == (0, [])
    with zipfile.ZipFile(Path(ran.outputs["path"]) / "package.zip") as held:
        assert held.namelist() == []
    assert (Path(ran.outputs["path"]) / "template.yml").read_text() == "Resources: {}\n"
    assert package(job, "").outputs["digest"] == ran.outputs["digest"]
    ran = package(job, "", template="")
    assert ran.code == 1
    assert ran.errors[0].endswith("the input 'command' is required")


@pytest.mark.parametrize("kind", ["commands", "files", "shell", "markdown", "long"])
def test_hostile_names_stay_data(job: Any, hostile: dict[str, str], kind: str, inert: Any) -> None:
    ran = package(job, component=hostile[kind])
    assert ran.code == 0
    assert json.loads((Path(ran.outputs["path"]) / "release.json").read_bytes())["component"] == hostile[kind].strip()
    inert(job, ran)
    inert(job, package(job, template=hostile[kind]))


# ---- Verification


def deploy(job: Any, **inputs: str) -> Any:
    return job.use("deploy", **DEPLOYMENT | inputs)


@pytest.fixture
def built(job: Any, aws: Any) -> Any:
    """A release beside the workspace; AWS would take anything."""
    ran = package(job)
    shutil.copytree(ran.outputs["path"], job.workspace / "release")
    return ran.outputs["digest"]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def forge(release: Path, **changes: Any) -> str:
    """Another release.json; its digest."""
    manifest = json.loads((release / "release.json").read_bytes()) | changes
    (release / "release.json").write_text(json.dumps(manifest))
    return hashlib.sha256((release / "release.json").read_bytes()).hexdigest()


def replace_by_link(path: Path) -> None:
    path.rename(path.parent.parent / path.name)
    path.symlink_to(path.parent.parent / path.name)


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (lambda r: flip(r / "package.zip"), "package.zip has the SHA-256"),
        (lambda r: flip(r / "template.yml"), "template.yml has the SHA-256"),
        (lambda r: flip(r / "release.json"), "the release has the digest"),
        (lambda r: (r / "package.zip").write_bytes(b""), "package.zip has the SHA-256"),
        (lambda r: (r / "extra").write_bytes(b""), "the release should be"),
        (lambda r: (r / ".hidden").mkdir(), "the release should be"),
        (lambda r: (r / "package.zip").unlink(), "the release should be"),
        (lambda r: replace_by_link(r / "package.zip"), "is not a file"),
        (lambda r: shutil.rmtree(r), "but is empty"),
        (lambda r: forge(r), "the release has the digest"),
    ],
    ids=["package", "template", "manifest", "truncated", "extra", "hidden", "lost", "link", "nothing", "rewritten"],
)
def test_a_release_that_was_changed_stops_before_aws(job: Any, aws: Any, built: str, tamper: Any, says: str) -> None:
    tamper(job.workspace / "release")
    blocked(job, aws, deploy(job, digest=built), says)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"digest": "0" * 64}, "the release has the digest"),
        ({"digest": ""}, "the input 'digest' is required"),
        ({"component": "stock"}, "the release is of component 'shop', not 'stock'"),
        ({"release": "elsewhere"}, "but is empty"),
        ({"release": "long" * 2_000}, "File name too long"),
    ],
)
def test_another_release_stops_before_aws(job: Any, aws: Any, built: str, inputs: dict[str, str], says: str) -> None:
    blocked(job, aws, deploy(job, **{"digest": built} | inputs), says)


def test_the_release_of_another_commit_stops_before_aws(job: Any, aws: Any, built: str) -> None:
    job.env["GITHUB_SHA"] = "d" * 40
    blocked(job, aws, deploy(job, digest=built), "the release is of commit c0ffee")


def test_a_consistent_forgery_stops_before_aws(job: Any, aws: Any, built: str) -> None:
    release = job.workspace / "release"
    flip(release / "package.zip")
    sums = {name: hashlib.sha256((release / name).read_bytes()).hexdigest() for name in ("package.zip", "template.yml")}
    forge(release, files=sums)
    blocked(job, aws, deploy(job, digest=built), "the release has the digest")


def blocked(job: Any, aws: Any, ran: Any, says: str) -> None:
    assert ran.code == 1
    assert says in ran.errors[0]
    assert ran.steps == ["verify"]  # no credentials were taken
    assert aws.calls() == []
    assert (ran.record["action"], ran.record["region"]) == ("deploy-software", "eu-west-1")
    assert ran.record["result"] in ("fail", "error")


def test_the_release_that_was_built_goes_on(job: Any, aws: Any, built: str) -> None:
    aws.will("sts get-caller-identity", {"Account": "999999999999"})
    ran = deploy(job, digest=built)
    assert ran.steps == ["verify", "deploy"]
    assert [call for call, _ in aws.calls()] == ["sts get-caller-identity"]
    assert ran.errors == ["title=deploy-software::the credentials are of account 999999999999, not 123456789012"]
