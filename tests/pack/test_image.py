"""Golden images: built once by the real buildah, by digest for all platforms; tested in a container of the same."""

import hashlib
import json
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

pytestmark = pytest.mark.slow  # images are built

PACK = Path(__file__).parents[2] / ".github" / "actions"
DIGEST = "a" * 64
PINNED = f"debian:12@sha256:{DIGEST}"
DOCKERFILE = f"FROM {PINNED}\nRUN apt-get update && apt-get upgrade --yes\nUSER 65532:65532\n"


@pytest.fixture
def builder(job: Any, needs: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A job with a repository, and the buildah of a rehearsal without a network."""
    from dpra.rehearsal import buildah

    needs("buildah", "busybox")
    buildah.install(job.root / "bin", job.root)
    paths = job.root / "paths.txt"
    paths.touch()
    job.env |= {"GITHUB_RUN_NUMBER": "42", "GITHUB_PATH": str(paths), "DPRA_REHEARSAL_OFFLINE": "1"}
    job.env["GITHUB_WORKSPACE"] = str(job.workspace)
    job.git("init", "--quiet")
    job.write("Dockerfile", DOCKERFILE)
    commit(job)
    return job


def commit(job: Any) -> None:
    job.git("add", "--all")
    job.git("commit", "--quiet", "--allow-empty", "--message", "A change")


def build(job: Any, **inputs: str) -> Any:
    return job.use("image", do="build", component="base", **inputs)


def packed(job: Any, **inputs: str) -> Path:
    """A release of the image."""
    built = build(job, **inputs)
    assert built.code == 0, built.out
    done = job.use("package", component="base", image=built.outputs["path"], template="")
    assert done.code == 0, done.out
    return Path(done.outputs["path"])


def opened(job: Any, release: Path) -> None:
    done = job.use("image", do="open", component="base", release=str(release))
    assert done.code == 0, done.out
    [folder] = Path(job.env["GITHUB_PATH"]).read_text().split()
    job.env["PATH"] = f"{folder}:{job.env['PATH']}"


def run_tests(job: Any, command: str) -> Any:
    return job.use("test", action="integration-tests", command=command)


def test_an_image_is_known_by_its_digest_its_base_and_its_version(builder: Any) -> None:
    release = packed(builder)
    said = json.loads((release / "image.json").read_text())
    assert said["name"] == "base"
    assert said["version"].endswith("-42")
    assert said["base"] == {"image": "debian:12", "digest": f"sha256:{DIGEST}"}
    with zipfile.ZipFile(release / "package.zip") as package:
        assert package.namelist() == ["image.tar"]
        package.extract("image.tar", release)
    with tarfile.open(release / "image.tar") as tar:
        index = json.load(tar.extractfile("index.json"))  # type: ignore[arg-type]
    assert [one["digest"] for one in index["manifests"]] == [said["digest"]]
    assert said["platforms"] == {"linux/amd64": said["digest"]}


def test_the_same_commit_and_content_are_the_same_image(builder: Any) -> None:
    first, second = (json.loads((packed(builder) / "image.json").read_text()) for _ in range(2))
    assert first["digest"] == second["digest"]
    builder.write("Dockerfile", f"{DOCKERFILE}LABEL team=platform\n")
    commit(builder)
    assert json.loads((packed(builder) / "image.json").read_text())["digest"] != first["digest"]


def test_several_platforms_are_one_index(builder: Any) -> None:
    release = packed(builder, platforms="linux/amd64 linux/arm64")
    said = json.loads((release / "image.json").read_text())
    assert sorted(said["platforms"]) == ["linux/amd64", "linux/arm64"]
    assert len({said["digest"], *said["platforms"].values()}) == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("FROM debian:12\n", "Dockerfile,line=1"),
        (f"FROM {PINNED} AS one\nFROM one\nFROM busybox\n", "Dockerfile,line=3"),
        (f"ARG BASE=debian:12\nFROM {PINNED}\nFROM ${{BASE}}\n", "Dockerfile,line=3"),
        (f"FROM {PINNED}\nCOPY --from=busybox:1 /bin/sh /bin/sh\n", "Dockerfile,line=2"),
        (f"FROM {PINNED}\nRUN --mount=type=bind,from=tools:1,target=/t /t/run\n", "Dockerfile,line=2"),
        (f"# escape=`\nFROM `\n  debian:12\nFROM {PINNED}\n", "Dockerfile,line=2"),
        ("FROM $ANY\n", "Dockerfile,line=1"),
    ],
)
def test_a_base_without_its_digest_is_told_with_its_line_and_nothing_is_built(
    builder: Any, text: str, told: str
) -> None:
    builder.write("Dockerfile", text)
    done = build(builder)
    assert done.code == 1
    assert [told in error for error in done.errors] == [True], done.out
    assert done.record["result"] == "fail"


@pytest.mark.parametrize(
    ("text", "base"),
    [
        (f"FROM {PINNED}\n", PINNED),
        (f"ARG IMAGE={PINNED}\nFROM --platform=$TARGETPLATFORM ${{IMAGE}} AS a\nFROM scratch\nFROM a\n", PINNED),
        ("FROM scratch\nCOPY --from=0 /a /a\n", "scratch"),
        ("from scratch as one\nfrom one\n", "scratch"),
    ],
)
def test_the_base_is_that_of_the_last_stage(text: str, base: str) -> None:
    import dockerfile

    assert dockerfile.unpinned(text) == []
    assert dockerfile.base(text) == base


BASE = (
    "RUN <<{}\nFROM " + PINNED + " AS debian\n{}\nFROM debian\n"
)  # only as long as a text is taken for an instruction


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("FROM\tdebian\n", 1),
        ("FR\\\nOM debian\n", 1),
        ("FROM \\\n\n  # a comment\n  debian\n", 1),
        ("\ufeffFROM debian\n", 1),
        ('FROM "debian"\n', 1),
        (f"FROM {PINNED}\n# escape=`\nLABEL a=b \\\nFROM={PINNED}\nFROM debian\n", 5),
        (f"FROM {PINNED}\n# escape=`\nRUN a \\\nFROM {PINNED} AS debian\nFROM debian\n", 5),
        (f"FROM {PINNED}\nRUN a \\\n  # a comment\n FROM {PINNED} AS debian\nFROM debian\n", 5),
        (f"FROM {PINNED}\nLABEL a=\u2028FROM {PINNED} AS debian\nFROM debian\n", 3),
        (f"FROM {PINNED}\nLABEL a=\rFROM {PINNED} AS debian\nFROM debian\n", 3),
        (f"FROM {PINNED}\nCOPY --chown=1:1 --from=tools:1 /a /a\n", 2),
        (f"FROM {PINNED}\nCOPY --chown=\"1:1\" --fr\\om='tools:1' /a /a\n", 2),
        (f"FROM {PINNED}\nCOPY --from=7 /a /a\n", 2),
        (f"FROM {PINNED}\nRUN --mount=type=bind,target=/t,fr\\om=tools /t/run\n", 2),
        (f"ARG A={PINNED}\nFROM $A\nARG A=tools\nCOPY --from=$A /a /a\n", 4),
        (f'ARG A={PINNED}\nARG "A=debian"\nFROM $A\n', 3),
        (f"FROM {PINNED}\n{BASE.format('EOF', 'EOF')}", 5),
        (f"FROM {PINNED}\n{BASE.format('EOF', ' EOF')}", 5),
        (f"FROM {PINNED}\n" + BASE.format('E"O"F', "E"), 5),
        (f"FROM {PINNED}\nRUN <<A <<'B'\nB\nA\nFROM {PINNED} AS debian\nB\nFROM debian\n", 7),
        (f"FROM {PINNED}\nRUN <<A\nFROM debian\nA\n", 3),  # an older buildah knows no here-documents
    ],
)
def test_what_buildah_takes_for_a_base_is_told_however_it_is_written(text: str, line: int) -> None:
    import dockerfile

    assert [number for number, _ in dockerfile.unpinned(text)] == [line]


@pytest.mark.parametrize(
    "text",
    [
        f"FROM {PINNED} AS one\nRUN cat <<EOF >/a\nhere\nEOF\nRUN echo $((1<<2)) from=a --from=b\nFROM one\n",
        f"FROM --platform=$BUILDPLATFORM {PINNED} AS one\nCOPY <<-'A' /a\n\tA\nFROM one\nCOPY --from=0 --chmod=1 a b\n",
        f"# syntax=x\nFROM {PINNED} as one\r\nLABEL a=b \\\r\n  c=d\r\nFROM one\r\n",
        f"ARG A={PINNED} B=1\nFROM ${{A}}\nARG A\nRUN --mount=type=cache,target=/c --mount=from=$A,target=/t true",
    ],
)
def test_what_has_a_digest_or_is_a_stage_is_not_told(text: str) -> None:
    import dockerfile

    assert dockerfile.unpinned(text) == []


def test_buildah_reads_lines_and_words_so(builder: Any) -> None:
    """What is told above is really a base: the real buildah builds from it."""
    for number, text in enumerate(("FROM\tscratch", "FR\\\nOM scratch", "FROM \\\n\nscratch", "\ufeffFROM scratch")):
        builder.write("Dockerfile", f"{text}\nCOPY Dockerfile /{number}\n")
        done = build(builder)
        assert done.code == 0, done.out


def test_a_file_that_buildah_would_preprocess_is_refused(builder: Any) -> None:
    builder.write("Containerfile.in", f'FROM {PINNED}\n#include "other"\n')
    done = build(builder, file="Containerfile.in")
    assert done.code == 1
    assert "the C preprocessor" in done.errors[0]


def signed(job: Any, release: Path) -> str:
    """What the job that signs says against a release of this run; nothing where it takes it."""
    job.env |= {"INPUT_RELEASE": str(release), "INPUT_COMPONENT": "base"}
    job.env |= {"INPUT_DIGEST": hashlib.sha256((release / "release.json").read_bytes()).hexdigest()}
    ran = subprocess.run(
        [sys.executable, "-I", "-B", str(PACK / "store" / "prepare.py")], env=job.env, capture_output=True, text=True
    )
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        ({"digest": f"sha256:{DIGEST}"}, "says digest"),
        ({"name": "other"}, "says name other"),
        ({"platforms": {"linux/arm64": f"sha256:{DIGEST}"}}, "says platforms"),
        ({"version": "2020.01.01-41"}, "says run 41"),
        ({"version": "2020.01.01-hotfix-42"}, "says run hotfix-42"),
        ({"version": "2020.01.01-42.2"}, "none of this run"),
        ({"version": "9999.01.01-42"}, "none of this run"),
        ({"platforms": {"linux/amd64\nrole=x": f"sha256:{DIGEST}"}}, "does not say what image it is"),
        ({"base": {"image": "debian", "digest": "latest"}}, "does not say what image it is"),
    ],
)
def test_what_the_build_says_of_the_image_is_held_against_it_before_it_is_signed(
    builder: Any, lie: dict[str, Any], told: str
) -> None:
    """Else a version that is published already, and its digest, would be published in place of what was scanned."""
    release = packed(builder)
    assert signed(builder, release) == ""
    said = json.loads((release / "image.json").read_text())
    (release / "image.json").write_text(json.dumps({**said, **lie}))
    assert told in signed(builder, release)


def test_what_is_scanned_is_what_is_published(builder: Any) -> None:
    """Of two files with one place the scans would see the one, and ECR would get the other."""
    release = packed(builder)
    with zipfile.ZipFile(release / "package.zip", "a") as package:
        package.writestr("./image.tar", "another one")
    files = {"package.zip": hashlib.sha256((release / "package.zip").read_bytes()).hexdigest()}
    said = json.loads((release / "release.json").read_text())
    (release / "release.json").write_text(json.dumps({**said, "files": files}))
    assert "image.tar and nothing else" in signed(builder, release)
    done = builder.use(
        *("check",), action="hardening-check", tool="hardening", language="container", target=str(release)
    )
    assert done.code == 1
    assert "'./image.tar' has the place of another file" in done.out


def test_a_package_that_is_larger_than_memory_has_a_digest(tmp_path: Path) -> None:
    import release

    with (tmp_path / "package.zip").open("wb") as file:
        file.truncate(2**27)
    tracemalloc.start()
    digest = release.sha256(tmp_path / "package.zip")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**22
    assert digest == hashlib.sha256(bytes(2**27)).hexdigest()


def test_a_hotfix_and_a_run_of_the_pipeline_never_have_one_version(builder: Any) -> None:
    """GitHub counts the runs of each workflow."""
    versions = set()
    for name in ("pipeline", "hotfix"):
        builder.env["GITHUB_WORKFLOW_REF"] = f"acme/base/.github/workflows/{name}.yml@refs/heads/main"
        release = packed(builder)
        assert signed(builder, release) == ""
        versions.add(json.loads((release / "image.json").read_text())["version"])
    assert len(versions) == 2


def test_a_runner_that_is_used_again_adds_nothing_to_the_image(builder: Any) -> None:
    """To an index that is there buildah adds; and a container's name is taken but once."""
    for number in range(2):
        builder.write("Dockerfile", f"{DOCKERFILE}LABEL number={number}\n")
        commit(builder)
        release = packed(builder, platforms="linux/amd64 linux/arm64")
        builder.use("image", do="open", component="base", release=str(release))
        with zipfile.ZipFile(release / "package.zip") as package:
            package.extract("image.tar", release)
        with tarfile.open(release / "image.tar") as tar:
            [index] = json.load(tar.extractfile("index.json"))["manifests"]  # type: ignore[arg-type]
            named = tar.extractfile(f"blobs/{index['digest'].replace(':', '/')}")
            assert len(json.load(named)["manifests"]) == 2  # type: ignore[arg-type]
        opened = builder.use("image", do="open", component="base", release=str(release))
        assert opened.code == 0, opened.out


def test_an_index_with_a_platform_twice_is_none(tmp_path: Path) -> None:
    import image
    import runner

    platform = {"os": "linux", "architecture": "amd64"}
    content = json.dumps({"manifests": [{"digest": f"sha256:{one * 64}", "platform": platform} for one in "ab"]})
    digest = hashlib.sha256(content.encode()).hexdigest()
    listed = json.dumps({"manifests": [{"mediaType": image.INDEX[0], "digest": f"sha256:{digest}"}]})
    with tarfile.open(tmp_path / "image.tar", "w") as tar:
        for name, text in {"index.json": listed, f"blobs/sha256/{digest}": content}.items():
            (tmp_path / "one").write_text(text)
            tar.add(tmp_path / "one", name)
    with pytest.raises(runner.Failed, match="no OCI archive with one image"):
        image.layout(tmp_path / "image.tar")


SBOM = {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []}


@pytest.fixture
def bucket(job: Any) -> Iterator[Any]:
    """A bucket with an image that a hotfix brought without an SBOM, and the record that names it; and its release."""
    from dpra.rehearsal import mends
    from moto.server import ThreadedMotoServer

    mends.forget()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    given = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    job.env |= given
    s3 = boto3.client(
        *("s3", "eu-west-1"), endpoint_url=given["AWS_ENDPOINT_URL"], aws_access_key_id="a", aws_secret_access_key="b"
    )
    s3.create_bucket(Bucket="store", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    base = {"image": "debian:12", "digest": f"sha256:{DIGEST}"}
    before, now = (
        {"name": "base", "version": f"2026.11.2{one}-{one}", "base": base, "digest": f"sha256:{str(one) * 64}"}
        | {"platforms": {"linux/amd64": f"sha256:{str(one) * 64}"}}
        for one in (1, 2)
    )
    kept = {"digest": "1" * 64, "commit": job.env["GITHUB_SHA"], "run": "1"}
    for name, content in {
        f"{'1' * 64}/image.json": before,
        f"{'1' * 64}/release.json": {"commit": job.env["GITHUB_SHA"]},
        "record.json": {"schema": 1, "lock": None, "waiting": None, "current": kept, "history": [], "regions": {}},
    }.items():
        s3.put_object(Bucket="store", Key=f"base/{name}", Body=json.dumps(content).encode())
    job.write("release/image.json", json.dumps(now))
    yield s3
    server.stop()


def test_an_image_that_came_without_an_sbom_blocks_no_other(job: Any, bucket: Any) -> None:
    """A hotfix may skip it: the difference says what it does not know, and a rebuild is a new image."""
    about = {"component": "base", "release": "release", "account": "123456789012"}
    record = {"record": "s3://store/base/record.json", "record_region": "eu-west-1"}
    done = job.use("image", do="difference", **about, **record)
    assert done.code == 0, done.out
    assert "1 platform not compared, without SBOM" in done.out
    job.write("release/sbom.cdx.json", json.dumps(SBOM))
    done = job.use("image", do="unchanged", **about, region="eu-west-1", bucket="store")
    assert (done.code, done.outputs.get("unchanged", "")) == (0, ""), done.out


def test_a_rebuild_is_the_same_image_but_for_what_this_run_or_a_lost_runner_left(job: Any, bucket: Any) -> None:
    """What an earlier attempt stored before its runner was lost was offered to nobody: it goes on."""

    def asked(version: str) -> tuple[int, str]:
        job.write("release/image.json", json.dumps({**said, "version": version}))
        done = job.use("image", do="unchanged", **about, region="eu-west-1", bucket="store")
        return done.code, done.outputs.get("unchanged", "")

    about = {"component": "base", "release": "release", "account": "123456789012"}
    said = json.loads(bucket.get_object(Bucket="store", Key=f"base/{'1' * 64}/image.json")["Body"].read())
    job.write("release/sbom.cdx.json", json.dumps(SBOM))
    assert asked("2026.11.22-2") == (0, "every platform has the same digest")
    assert asked("2026.11.22-1.2") == (0, "")
    bucket.delete_object(Bucket="store", Key=f"base/{'1' * 64}/image.json")
    assert asked("2026.11.22-2") == (0, "")


def test_whatever_else_is_missing_of_the_last_image_is_told(job: Any, bucket: Any) -> None:
    bucket.delete_object(Bucket="store", Key=f"base/{'1' * 64}/image.json")
    about = {"component": "base", "release": "release", "account": "123456789012"}
    done = job.use("image", do="difference", **about, record="s3://store/base/record.json", record_region="eu-west-1")
    assert done.code == 1
    assert "NoSuchKey" in done.errors[0]


def test_a_command_that_fails_in_the_build_fails_it(builder: Any) -> None:
    builder.write("Dockerfile", f"FROM {PINNED}\nRUN apt-get install --yes no-such-package\n")
    done = build(builder)
    assert done.code == 1
    assert "Unable to locate package no-such-package" in done.out
    assert done.record["result"] == "fail"


def test_a_dockerfile_that_is_not_there_is_told(builder: Any) -> None:
    done = build(builder, file="image/Containerfile")
    assert done.code == 1
    assert "image/Containerfile does not exist" in done.errors[0]


def test_tests_run_in_the_image_that_was_built_and_each_is_told(builder: Any) -> None:
    for name, body in {
        "debian": "grep -q ID=debian /etc/os-release",
        "nobody": '[ "$(id -u)" -eq 65532 ]',
        "reads": "[ -f /repository/Dockerfile ] && ! touch /repository/written 2>/dev/null",
    }.items():
        builder.write(f"tests/{name}", f"#!/bin/sh\n{body}\n").chmod(0o755)
    builder.write("tests/README", "not executable, and so no test\n")
    opened(builder, packed(builder))
    done = run_tests(builder, "in-image --each tests")
    assert done.code == 0, done.out
    assert done.record["findings"]["passed"] == 3
    builder.write("tests/fails", "#!/bin/sh\necho why it fails\nexit 3\n").chmod(0o755)
    done = run_tests(builder, "in-image --each tests")
    assert done.code == 1
    assert done.record["findings"]["failed"] == 1
    report = (builder.evidence / "integration-tests.junit.xml").read_text()
    assert "exit code 3" in report
    assert "why it fails" in report


def test_a_component_in_a_folder_is_tested_there_with_all_of_the_repository(builder: Any) -> None:
    builder.write("shared/expected", "debian\n")
    body = "grep -q debian /repository/shared/expected ../../shared/expected\n[ -f tests/reads ]"
    builder.write("images/base/tests/reads", f"#!/bin/sh\nset -e\n{body}\n").chmod(0o755)
    opened(builder, packed(builder))
    report = '<testsuite><testcase name="a"/></testsuite>'
    for command in ("in-image --each tests", f"in-image tests/reads && echo '{report}' > \"$JUNIT_FILE\""):
        done = builder.use(
            "test", **{"action": "integration-tests", "command": command, "working-directory": "images/base"}
        )
        assert done.code == 0, done.out


def test_a_folder_without_tests_fails(builder: Any) -> None:
    builder.write("tests/README", "no test\n")
    opened(builder, packed(builder))
    done = run_tests(builder, "in-image --each tests")
    assert done.code == 1
    assert "there is nothing to test" in done.out


def test_a_command_of_ones_own_leaves_its_report_from_within_the_image(builder: Any) -> None:
    report = '<testsuite name="goss"><testcase name="a"/><testcase name="b"><failure/></testcase></testsuite>'
    opened(builder, packed(builder))
    done = run_tests(builder, f"in-image sh -c 'echo \"$1\" > \"$JUNIT_FILE\"' sh '{report}'")
    assert done.code == 1
    assert done.record["findings"] | {} == done.record["findings"]
    assert (done.record["findings"]["passed"], done.record["findings"]["failed"]) == (1, 1)


def test_what_is_in_a_repository_is_data_for_the_shell(builder: Any) -> None:
    builder.write("tests/$(touch hacked)", "#!/bin/sh\n").chmod(0o755)
    opened(builder, packed(builder))
    assert run_tests(builder, "in-image --each tests").code == 0
    assert not (builder.workspace / "hacked").exists()
