"""Regeneration: what is stale, edited by hand, bumped by Dependabot, orphaned, foreign; and writes that die midway."""

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PIPELINE = ".github/workflows/pipeline.yml"


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_generated_files_hold(dpra, own_check, repository, snapshot) -> None:
    before = snapshot(repository)
    assert dpra("check", cwd=repository).returncode == 0
    assert own_check(repository).returncode == 0
    assert dpra("generate", cwd=repository).stdout.endswith("; 0 changed.\n")
    assert snapshot(repository) == before


def test_a_changed_trunk_changes_only_lines_that_name_it(dpra, own_check, repository) -> None:
    with (repository / "dpra.yml").open("a") as file:
        file.write("trunk: release\n")
    done = dpra("check", cwd=repository)
    assert done.returncode == 1
    changed = [line for line in done.stdout.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert len(changed) >= 6
    assert all("release" in line or "main" in line for line in changed)
    assert own_check(repository).returncode == 1
    assert dpra("generate", cwd=repository).returncode == 0
    assert dpra("check", cwd=repository).returncode == 0
    assert own_check(repository).returncode == 0


def test_a_hand_edit_is_named_refused_and_taken_back_by_force(dpra, own_check, repository, snapshot) -> None:
    original = (repository / PIPELINE).read_bytes()
    replace(repository / PIPELINE, "command: python -m compileall -q src", "command: make")
    before = snapshot(repository)
    for command in ("check", "generate"):
        done = dpra(command, cwd=repository)
        assert done.returncode == 1
        assert f"{PIPELINE}: edited by hand; dpra.yml says it with actions.<action>.command" in done.stderr
        assert "+          command: python -m compileall -q src" in done.stdout
    assert snapshot(repository) == before
    own = own_check(repository)
    assert own.returncode == 1
    assert f"::error file={PIPELINE}::edited by hand" in own.stdout
    assert dpra("generate", "--force", cwd=repository).returncode == 0
    assert (repository / PIPELINE).read_bytes() == original


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("runs-on: ubuntu-24.04", "runs-on: self-hosted", "runs-on or jobs.<job>.runs-on"),
        ("python-version-file: '.python-version'", "python-version-file: setup.cfg", "setup.version-file"),
        ("region: [eu-west-1]", "region: [eu-west-2]", "regions or environments.<environment>.regions"),
    ],
)
def test_the_key_of_the_spec_that_says_an_edited_line_is_named(dpra, repository, old: str, new: str, key: str) -> None:
    replace(repository / PIPELINE, old, new)
    assert f"edited by hand; dpra.yml says it with {key}\n" in dpra("check", cwd=repository).stderr


def test_an_edited_action_of_the_pack_is_found_too(dpra, own_check, repository) -> None:
    gate = repository / ".github/actions/dpra/_lib/gate.py"
    gate.write_text(gate.read_text() + "raise SystemExit(0)\n")
    assert dpra("check", cwd=repository).returncode == 1
    assert "gate.py" in own_check(repository).stdout


def test_diff_shows_and_writes_nothing(dpra, repository, snapshot) -> None:
    replace(repository / "dpra.yml", "eu-west-1", "us-east-1")
    before = snapshot(repository)
    done = dpra("generate", "--diff", cwd=repository)
    assert done.returncode == 0
    assert "+        region: [us-east-1]" in done.stdout
    assert snapshot(repository) == before


SHA = "0123456789abcdef0123456789abcdef01234567"
PINNED = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"


def test_a_newer_pin_belongs_to_the_user(dpra, own_check, repository) -> None:
    old = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
    new = f"actions/checkout@{SHA} # v7.10.0"
    replace(repository / PIPELINE, old, new)
    assert dpra("check", cwd=repository).returncode == 0
    assert own_check(repository).returncode == 0
    replace(repository / "dpra.yml", "eu-west-1", "us-east-1")  # and it stays when the file is made again
    assert dpra("generate", cwd=repository).returncode == 0
    text = (repository / PIPELINE).read_text()
    assert new in text
    assert old not in text
    assert "us-east-1" in text


@pytest.mark.parametrize(
    ("tag", "says"),
    [
        ("v7.0.1", f"{SHA} is another commit under the tag v7.0.1 than 3d3c42e5aac5ba805825da76410c181273ba90b1"),
        ("7.0.1", f"{SHA} is another commit under the tag 7.0.1 than 3d3c42e5aac5ba805825da76410c181273ba90b1"),
        ("v7.0.0", "went back from v7.0.1 to v7.0.0"),
        ("v6.9", "went back from v7.0.1 to v6.9"),
        ("v7", "went back from v7.0.1 to v7"),
    ],
)
def test_a_pin_that_went_back_or_to_another_commit_is_told_and_never_silently_replaced(
    dpra, own_check, repository, snapshot, tag: str, says: str
) -> None:
    replace(repository / PIPELINE, PINNED, f"actions/checkout@{SHA} # {tag}")
    before = snapshot(repository)
    for command in ("check", "generate"):
        done = dpra(command, cwd=repository)
        assert done.returncode == 1
        assert f"{PIPELINE}: actions/checkout: {says}\n" in done.stderr
    assert snapshot(repository) == before
    own = own_check(repository)
    assert own.returncode == 1
    assert f"::error file={PIPELINE}::actions/checkout: {says}" in own.stdout
    done = dpra("generate", "--force", cwd=repository)
    assert (done.returncode, "taken back" in done.stderr) == (0, True)
    assert SHA not in (repository / PIPELINE).read_text()
    assert dpra("check", cwd=repository).returncode == own_check(repository).returncode == 0


def test_who_changes_the_lock_too_passes_the_pull_requests_check_and_not_dpras(dpra, own_check, repository) -> None:
    """Which is why the lock has an owner: docs/security.md."""
    replace(repository / PIPELINE, PINNED, f"actions/checkout@{SHA} # v7.0.1")
    with_lock(repository, lambda lock: lock["pins"].update({"actions/checkout@v7.0.1": SHA}))
    for path in (repository / ".github/workflows").glob("*.yml"):
        path.write_text(path.read_text().replace(PINNED, f"actions/checkout@{SHA} # v7.0.1"))
    assert own_check(repository).returncode == 0
    done = dpra("check", cwd=repository)
    assert done.returncode == 1
    assert f"{SHA} is another commit under the tag v7.0.1" in done.stderr
    done = dpra("generate", cwd=repository)
    assert done.returncode == 0
    assert f"{SHA} is another commit under the tag v7.0.1" in done.stderr  # told, and taken back
    assert SHA not in (repository / PIPELINE).read_text()


def test_a_pin_that_an_older_dpra_wrote_is_brought_up_to_date(dpra, own_check, repository) -> None:
    old = f"actions/checkout@{SHA} # v7.0.0"
    for path in (repository / ".github/workflows").glob("*.yml"):
        path.write_text(path.read_text().replace(PINNED, old))

    def older(lock: dict) -> None:
        del lock["pins"]["actions/checkout@v7.0.1"]
        lock["pins"]["actions/checkout@v7.0.0"] = SHA
        lock["dpra"] = "0.0.9"

    with_lock(repository, older)
    assert own_check(repository).returncode == 0
    assert dpra("generate", cwd=repository).returncode == 0
    assert old not in (repository / PIPELINE).read_text()


def test_a_tag_that_is_not_known_is_named_as_unverified(dpra, own_check, repository) -> None:
    replace(repository / PIPELINE, PINNED, f"actions/checkout@{SHA} # v7.10.0")
    own = own_check(repository)
    assert (own.returncode, f"::notice::actions/checkout@{SHA} # v7.10.0: unverified" in own.stdout) == (0, True)
    done = dpra("check", cwd=repository)
    assert done.returncode == 0
    assert f"actions/checkout@{SHA} # v7.10.0: unverified" in done.stderr
    assert dpra("generate", cwd=repository).returncode == 0  # and the lock knows what is there from now on
    assert "unverified" not in own_check(repository).stdout
    replace(repository / PIPELINE, f"{SHA} # v7.10.0", f"{SHA[::-1]} # v7.10.0")
    assert own_check(repository).returncode == dpra("check", cwd=repository).returncode == 1


@pytest.mark.parametrize("ref", ["main", "v8", f"{SHA}", f"{SHA[:7]} # v8.0.0"])
def test_a_pin_without_commit_and_tag_is_a_hand_edit(dpra, own_check, repository, ref: str) -> None:
    replace(repository / PIPELINE, "@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", f"@{ref}")
    assert dpra("check", cwd=repository).returncode == 1
    assert own_check(repository).returncode == 1


def with_lock(repository: Path, change: Callable[[dict], None]) -> None:
    lock = repository / ".github/dpra.lock"
    content = json.loads(lock.read_text())
    change(content)
    lock.write_text(json.dumps(content))


def test_an_orphan_is_removed_if_untouched_and_kept_if_edited(dpra, repository) -> None:
    for name in ("untouched.yml", "edited.yml"):
        (repository / name).write_text("a: b\n")
    sha256 = hashlib.sha256(b"a: b\n").hexdigest()
    with_lock(repository, lambda lock: lock["files"].update({"untouched.yml": {"sha256": sha256}}))
    assert "untouched.yml: orphan" in dpra("check", cwd=repository).stderr
    assert dpra("generate", cwd=repository).returncode == 0
    assert not (repository / "untouched.yml").exists()
    with_lock(repository, lambda lock: lock["files"].update({"edited.yml": {"sha256": "0" * 64}}))
    assert dpra("generate", cwd=repository).returncode == 1
    assert (repository / "edited.yml").exists()
    assert dpra("generate", "--force", cwd=repository).returncode == 0
    assert not (repository / "edited.yml").exists()


def test_owners_that_are_dropped_leave_the_users_lines(dpra, repository) -> None:
    owners = repository / ".github/CODEOWNERS"
    owners.write_text("* @acme/everybody\n")
    spec = (repository / "dpra.yml").read_text()
    (repository / "dpra.yml").write_text(spec + "owners: ['@acme/platform']\n")
    assert dpra("generate", cwd=repository).returncode == 0
    assert owners.read_text().startswith("* @acme/everybody\n# dpra: begin")
    assert "/dpra.yml @acme/platform\n" in owners.read_text()
    owners.write_text("# ours\n" + owners.read_text())
    assert dpra("check", cwd=repository).returncode == 0
    (repository / "dpra.yml").write_text(spec)
    assert dpra("generate", cwd=repository).returncode == 0
    assert owners.read_text() == "# ours\n* @acme/everybody\n"


def test_a_file_that_dpra_did_not_make_is_not_overwritten(dpra, tmp_path) -> None:
    (tmp_path / "dpra.yml").write_bytes((Path(__file__).parent / "specs/minimal.yml").read_bytes())
    foreign = tmp_path / PIPELINE
    foreign.parent.mkdir(parents=True)
    foreign.write_text("name: mine\n")
    done = dpra("generate", cwd=tmp_path)
    assert done.returncode == 1
    assert f"{PIPELINE}: exists, and was not made by dpra" in done.stderr
    assert foreign.read_text() == "name: mine\n"
    assert not (tmp_path / ".github/dpra.lock").exists()


def test_a_wrong_spec_changes_nothing(dpra, repository, snapshot) -> None:
    (repository / "dpra.yml").write_text(
        "name: Shop\nrepository: acme/shop\nregion: [eu-west-1]\nenvironments:\n"
        '  build: {account: "444444444444"}\n'
        '  beta: {account: "111111111111"}\n  gamma: {account: 22222222222}\n  prod: {account: "333333333333"}\n'
        "language: cobol\n"
    )
    before = snapshot(repository)
    for command in ("check", "generate", "plan"):
        done = dpra(command, cwd=repository)
        assert done.returncode == 2
        assert [line.split(": ")[0] for line in done.stderr.splitlines()] == [
            "dpra.yml:1:7",
            "dpra.yml:3:1",
            "dpra.yml:7:20",
            "dpra.yml:9:11",
        ]
    assert snapshot(repository) == before


def test_a_folder_that_leads_out_of_the_repository_is_not_written_through(dpra, repository, tmp_path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    docs = repository / "docs"
    (docs / "pipeline.md").unlink()
    docs.rmdir()
    docs.symlink_to(outside)
    done = dpra("generate", cwd=repository)
    assert done.returncode == 2
    assert "docs/pipeline.md: leads out of the repository" in done.stderr
    assert list(outside.iterdir()) == []


def test_a_checkout_with_windows_line_ends_holds(dpra, own_check, repository, snapshot) -> None:
    for path in [repository / name for name in snapshot(repository)]:
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    before = snapshot(repository)
    assert dpra("check", cwd=repository).returncode == 0
    assert own_check(repository).returncode == 0
    assert dpra("generate", cwd=repository).returncode == 0
    del before[".github/dpra.lock"]
    assert before.items() <= snapshot(repository).items()


def test_a_broken_lock_is_an_error_and_not_a_reason_to_write(dpra, own_check, repository, snapshot) -> None:
    (repository / ".github/dpra.lock").write_text("<<<<<<< HEAD\n")
    before = snapshot(repository)
    assert dpra("generate", cwd=repository).returncode == 2
    assert own_check(repository).returncode == 2
    assert snapshot(repository) == before


# The command itself, which kills itself at the nth write: half written, before or after it gets its name. Its modules
# are there before: each run is a process of its own, but none starts Python anew.
KILLED = """
import json, os, pathlib, signal, sys
import dpra.adopt.initial, dpra.catalogue, dpra.plan, dpra.render, dpra.spec.reader, dpra.tree
from dpra.cli import main
def run(root, left, moment, arguments, environment):
    write, replace = pathlib.Path.write_bytes, pathlib.Path.replace
    def due():
        nonlocal left
        left -= 1
        return left == 0
    def die(): os.kill(os.getpid(), signal.SIGKILL)
    def half(self, content):
        if moment == "half" and due(): write(self, content[:len(content) // 2]); die()
        return write(self, content)
    def renamed(self, target):
        last = moment != "half" and due()
        if last and moment == "before": die()
        replace(self, target)
        if last: die()
    pathlib.Path.write_bytes, pathlib.Path.replace = half, renamed
    os.chdir(root)
    os.environ |= environment
    sys.argv = ["dpra", *arguments]
    os.dup2(2, 1)
    main()
for line in sys.stdin:
    child = os.fork()
    if not child:
        run(*json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


Killed = Callable[..., bool]


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Killed]:
    """Whether `dpra …` was killed at its nth write; it did its work where it was not."""
    with open(tmp_path / "killed.txt", "w+") as said:
        command = [sys.executable, "-c", KILLED]
        parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True)
        assert parent.stdin
        assert parent.stdout

        def killed(root: Path, number: int, moment: str, *arguments: str, **environment: str) -> bool:
            print(json.dumps([str(root), number, moment, arguments or ["generate"], environment]), file=parent.stdin)
            parent.stdin.flush()
            code = int(parent.stdout.readline())
            assert code in (0, -signal.SIGKILL), (tmp_path / "killed.txt").read_text()
            return code != 0

        yield killed
        parent.stdin.close()
        assert parent.wait() == 0
        parent.stdout.close()


@pytest.mark.parametrize("moment", ["half", "before", "after"])
@pytest.mark.slow
def test_a_run_killed_at_any_write_leaves_whole_files_and_the_next_one_finishes(
    dpra, killed: Killed, repository, snapshot, moment: str
) -> None:
    old = snapshot(repository)
    replace(repository / "dpra.yml", "name: shop", "name: store")
    old["dpra.yml"] = (repository / "dpra.yml").read_bytes()
    assert dpra("generate", cwd=repository).returncode == 0
    new = snapshot(repository)
    changed = sum(old[name] != new[name] for name in old)
    assert changed > 5
    for number in range(1, changed + 2):
        for name, content in old.items():
            (repository / name).write_bytes(content)
        assert killed(repository, number, moment) == (number <= changed)
        left = snapshot(repository)
        whole = {name: content for name, content in left.items() if ".dpra-tmp-" not in name}
        assert whole.keys() == old.keys()
        assert sum(content != old[name] for name, content in whole.items()) == min(
            changed, number if moment == "after" else number - 1
        )
        assert all(content in (old[name], new[name]) for name, content in whole.items())
        assert dpra("generate", cwd=repository).returncode == 0
        assert snapshot(repository) == new


@pytest.mark.slow
def test_a_run_killed_after_every_single_write_comes_to_its_end(killed: Killed, repository, snapshot, tmp_path) -> None:
    """From nothing, and with nothing kept from earlier runs either: what is kept is written like all else."""
    made = snapshot(repository)
    for name in made.keys() - {"dpra.yml"}:
        (repository / name).unlink()
    runs = 1
    while killed(repository, 1, "after", XDG_CACHE_HOME=str(tmp_path / "cache")):
        runs += 1
    assert runs > len(made) + 5
    assert snapshot(repository) == made


def test_a_first_spec_is_written_whole_or_not_at_all(killed: Killed, tmp_path, snapshot) -> None:
    """dpra init, killed at each of its writes."""
    for number, there in ((1, []), (2, ["dpra.yml"])):
        root = tmp_path / str(number)
        root.mkdir()
        assert killed(root, number, "half", "init", "--no-input")
        assert [name for name in snapshot(root) if ".dpra-tmp-" not in name] == there


def test_a_write_that_fails_says_which_and_loses_nothing(dpra, repository, snapshot, tmp_path) -> None:
    replace(repository / "dpra.yml", "name: shop", "name: store")
    before = snapshot(repository)
    done = dpra("generate", cwd=repository, PYTHONPATH=str(fails_after(tmp_path, 3)))
    assert done.returncode == 3
    assert "No space left on device; run the command again when that is mended" in done.stderr
    after = snapshot(repository)
    assert {name for name in before if before[name] != after[name]} != set()
    assert before.keys() == after.keys()
    assert dpra("generate", cwd=repository).returncode == 0
    assert dpra("check", cwd=repository).returncode == 0


def test_an_orphan_that_cannot_be_removed_is_told(dpra, repository, tmp_path) -> None:
    with_lock(repository, lambda lock: lock["files"].update({"gone.yml": {"sha256": hashlib.sha256(b"").hexdigest()}}))
    (repository / "gone.yml").write_bytes(b"")
    folder = broken(
        tmp_path,
        "unlink = pathlib.Path.unlink\n"
        "def refused(self, missing_ok=False):\n"
        "    if self.name == 'gone.yml': raise OSError(errno.EROFS, 'Read-only file system')\n"
        "    unlink(self, missing_ok)\n"
        "pathlib.Path.unlink = refused\n",
    )
    done = dpra("generate", cwd=repository, PYTHONPATH=str(folder))
    assert done.returncode == 3
    assert done.stderr.startswith("gone.yml: Read-only file system; run the command again")


def fails_after(folder: Path, writes: int) -> Path:
    """A later rename fails, as on a full disk."""
    return broken(
        folder,
        f"left = {writes}\nreplace = pathlib.Path.replace\n"
        "def full(self, target):\n    global left\n    left -= 1\n"
        "    if left < 0: raise OSError(errno.ENOSPC, 'No space left on device')\n    replace(self, target)\n"
        "pathlib.Path.replace = full\n",
    )


def broken(parent: Path, code: str) -> Path:
    """A folder for PYTHONPATH whose sitecustomize makes something fail."""
    folder = parent / "broken"
    folder.mkdir()
    generator = Path(__file__).parent.parent / "generator"
    (folder / "sitecustomize.py").write_text(f"import errno, pathlib, sys\nsys.path.append({str(generator)!r})\n{code}")
    return folder
