"""A tool is unpacked and run only after its checksum was right."""

import hashlib
import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

HEADER = """#!/usr/bin/env bash
# A tool of the tests.
# default for tries: any
# version: 2.3.4
# version-command: thetool --version
# ok-exit-codes: 0
"""
BODY = """
thetool > "$SARIF"
"""
PROGRAM = """#!/bin/sh
if [ "$1" = --version ]; then echo "thetool {version} (built 1999)"; exit; fi
touch "$RUNNER_TEMP/ran-{version}"
echo '{{"runs": [{{"tool": {{"driver": {{"name": "t"}}}}, "results": []}}]}}'
"""


def archive(*files: tuple[str, str]) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as tar:
        for name, text in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return held.getvalue()


GOOD = archive(("LICENSE", "MIT"), ("../../escaped", "x"), ("bin/thetool", PROGRAM.format(version="2.3.4")))


def use(job: Any, *data: str) -> Any:
    job.env.pop("DPRA_TOOLS")  # nothing is there yet
    (job.own_pack() / "check" / "tools" / "thetool.sh").write_text(HEADER + "\n".join(data) + "\n" + BODY)
    return job.use("check", action="tries")


def source(web: Any, content: bytes = GOOD) -> str:
    sums = hashlib.sha256(content).hexdigest()
    return "\n".join(
        f"# source linux-{machine}: {web.url}/thetool.tar.gz sha256: {sums}" for machine in ("x64", "arm64")
    )


def put_on_path(job: Any, version: str) -> None:
    path = job.root / "bin" / "thetool"
    path.write_text(PROGRAM.format(version=version))
    path.chmod(0o755)


def test_the_right_archive_is_installed_once_and_run(job: Any, web: Any) -> None:
    web.answers = [(200, {}, GOOD)]
    job.env["RUNNER_TOOL_CACHE"] = str(job.root / "cache")
    ran = use(job, source(web))
    assert (ran.code, ran.record["version"], ran.errors) == (0, "2.3.4", [])
    assert (job.temp / "ran-2.3.4").exists()
    assert [path.name for path in (job.temp / "dpra-tools" / "thetool").glob("2.3.4-*/bin/*")] == ["thetool"]
    assert not list(job.root.rglob("escaped"))
    assert job.use("check", action="tries").code == 0
    assert len(web.requests) == 1


def test_nothing_is_run_that_an_earlier_job_left_in_the_tool_cache(job: Any, web: Any) -> None:
    """A runner of one's own keeps its tool cache: whatever lies there is verified, or not used."""
    web.answers = [(200, {}, GOOD)] * 3
    cache = job.root / "cache"
    job.env["RUNNER_TOOL_CACHE"] = str(cache)
    assert use(job, source(web)).code == 0
    [home] = (path for path in (job.temp / "dpra-tools" / "thetool").glob("2.3.4-*") if path.is_dir())
    evil = "#!/bin/sh\ntouch ran-evil\necho thetool 2.3.4\n"
    for place in (cache / "dpra" / "thetool" / home.name, cache / "dpra-downloads" / "dpra" / "thetool" / home.name):
        (place / "bin").mkdir(parents=True)
        (place / "bin" / "thetool").write_text(evil)
        (place / "bin" / "thetool").chmod(0o755)
        (place / ".complete").touch()
    [download] = [path for path in (cache / "dpra-downloads").iterdir() if path.is_file()]
    download.write_bytes(archive(("bin/thetool", evil)))
    shutil.rmtree(job.temp / "dpra-tools")  # the next job has a folder of its own
    ran = job.use("check", action="tries")
    assert (ran.code, ran.record["version"]) == (0, "2.3.4")
    assert len(web.requests) == 2
    assert not list(job.root.rglob("ran-evil"))


@pytest.mark.parametrize("content", [GOOD[:-1], GOOD + b"\0", b"", b"<html>sign in</html>"])
def test_any_other_archive_is_neither_unpacked_nor_run(job: Any, web: Any, content: bytes) -> None:
    web.answers = [(200, {}, content)]
    ran = use(job, source(web))
    assert (ran.code, ran.record["result"]) == (1, "error")
    [error] = ran.errors
    for found in (hashlib.sha256(GOOD), hashlib.sha256(content)):
        assert found.hexdigest() in error
    assert not list(job.root.rglob("ran-*"))
    assert not [
        path for path in (job.temp / "dpra-tools" / "thetool").rglob("*") if path.is_file() and path.suffix != ".lock"
    ]


def test_a_kept_download_is_verified_again(job: Any, web: Any) -> None:
    """A cache may have been poisoned."""
    web.answers = [(200, {}, GOOD)]
    assert use(job, source(web)).code == 0
    [kept] = (job.temp / "dpra-downloads").iterdir()
    kept.write_bytes(b"poison")
    for path in (job.temp / "dpra-tools" / "thetool").glob("*/.complete"):
        path.unlink()
    assert job.use("check", action="tries").code == 0
    assert len(web.requests) == 2
    assert kept.read_bytes() == GOOD


def test_without_any_network_what_was_kept_is_enough(job: Any, web: Any) -> None:
    web.answers = [(200, {}, GOOD)]
    assert use(job, source(web)).code == 0
    for path in (job.temp / "dpra-tools" / "thetool").glob("*/.complete"):
        path.unlink()
    web.answers = [(503, {}, b"")]
    assert job.use("check", action="tries").code == 0
    assert len(web.requests) == 1


def test_after_a_wrong_archive_the_right_one_is_taken(job: Any, web: Any) -> None:
    web.answers = [(200, {}, b"wrong"), (200, {}, GOOD)]
    assert use(job, source(web)).code == 1
    assert job.use("check", action="tries").code == 0


def test_an_archive_without_the_tool_is_an_error(job: Any, web: Any) -> None:
    content = archive(("other", "x"))
    web.answers = [(200, {}, content)]
    ran = use(job, source(web, content))
    assert (ran.code, ran.record["result"]) == (1, "error")
    assert "has no file thetool" in ran.errors[0]


def test_a_download_that_breaks_off_is_tried_again(web: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import install

    monkeypatch.setattr(install, "PAUSES", (0, 0, 0))
    monkeypatch.setenv("DPRA_TOOLS", str(tmp_path))
    cut_off = (200, {"Content-Length": str(len(GOOD) + 9), "Connection": "close"}, GOOD)
    web.answers = [cut_off, (503, {}, b""), (200, {}, GOOD)]
    assert install.download(web.url + "/x", hashlib.sha256(GOOD).hexdigest()) == GOOD
    assert len(web.requests) == 3


def test_a_server_that_stays_away_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import install
    import runner

    monkeypatch.setattr(install, "PAUSES", (0,))
    monkeypatch.setenv("DPRA_TOOLS", str(tmp_path))
    with pytest.raises(runner.Failed, match="cannot be downloaded") as failed:
        install.download("http://127.0.0.1:9/x", "0" * 64)
    assert failed.value.result == "error"


@pytest.mark.parametrize(
    "url", ["http://example.com/x", "file:///etc/passwd", "http://127.0.0.1@example.com/x", "ftp://127.0.0.1/x"]
)
def test_downloads_are_made_by_https_only(url: str) -> None:
    import install
    import runner

    with pytest.raises(runner.Failed, match="https only"):
        install.download(url, "0" * 64)


def test_a_platform_without_a_download_is_named(job: Any, web: Any) -> None:
    ran = use(job, source(web).replace("linux", "plan9"))
    assert (ran.code, ran.record["result"]) == (1, "error")
    assert "only for plan9-x64, plan9-arm64" in ran.errors[0]


@pytest.mark.parametrize("version", ["2.3.4", "2.10.0"])
def test_a_compatible_tool_on_path_is_used(job: Any, web: Any, version: str) -> None:
    put_on_path(job, version)
    ran = use(job, source(web))
    assert (ran.code, ran.record["version"]) == (0, version)
    assert web.requests == []


@pytest.mark.parametrize("version", ["2.3.3", "2.3", "1.9.9", "3.0.0", "unknown"])
def test_any_other_tool_on_path_is_not(job: Any, web: Any, version: str) -> None:
    put_on_path(job, version)
    web.answers = [(200, {}, GOOD)]
    ran = use(job, source(web))
    assert (ran.code, ran.record["version"]) == (0, "2.3.4")
    assert [path.name for path in job.temp.glob("ran-*")] == ["ran-2.3.4"]


def wheel(folder: Path) -> str:
    """A distribution with the tool in it; its SHA-256."""
    path = folder / "thetool-2.3.4-py3-none-any.whl"
    info = "thetool-2.3.4.dist-info"
    with zipfile.ZipFile(path, "w") as held:
        held.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: thetool\nVersion: 2.3.4\n")
        held.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        script = zipfile.ZipInfo("thetool-2.3.4.data/scripts/thetool")
        script.external_attr = 0o100755 << 16
        held.writestr(script, PROGRAM.format(version="2.3.4"))
        held.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_distribution_needs_the_right_hash(job: Any) -> None:
    good = wheel(job.root)
    job.env |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(job.root), "PIP_CONFIG_FILE": os.devnull}

    ran = use(job, f"# pip: thetool==2.3.4 --hash=sha256:{'0' * 64}")
    assert (ran.code, ran.record["result"]) == (1, "error")
    assert "the installation failed" in ran.errors[0]

    script = job.pack / "check" / "tools" / "thetool.sh"
    locked = script.read_text()
    script.write_text(locked.replace(f" --hash=sha256:{'0' * 64}", ""))
    assert job.use("check", action="tries").code == 1

    script.write_text(locked.replace("0" * 64, good))
    ran = job.use("check", action="tries")
    assert (ran.code, ran.record["version"]) == (0, "2.3.4")
    assert (job.temp / "ran-2.3.4").exists()


def test_a_new_lock_is_installed_anew(job: Any) -> None:
    """Its head says the same version; what that needs has changed."""
    job.env |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(job.root), "PIP_CONFIG_FILE": os.devnull}
    locked = f"thetool==2.3.4 --hash=sha256:{wheel(job.root)}\n"
    lock = job.own_pack() / "check" / "locks" / "thetool.txt"
    lock.write_text(locked)
    (job.pack / "check" / "tools" / "thetool.sh").write_text(f"{HEADER}# pip: thetool==2.3.4\n{BODY}")
    job.env.pop("DPRA_TOOLS")
    homes = []
    for text in (locked, locked, f"# of another day\n{locked}"):
        lock.write_text(text)
        assert job.use("check", action="tries").code == 0
        homes.append(len(list((job.temp / "dpra-tools" / "thetool").glob("2.3.4-*/bin/thetool"))))
    assert homes == [1, 1, 2]
