"""Golden images: built once by the real buildah, by digest for all platforms; tested in a container of the same."""

import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

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
