"""The copy that act reads differs from what GitHub reads in the table's keys, and in nothing else."""

import shutil
import subprocess
from typing import Any

import pytest
from dpra.rehearsal import act, dialect
from ruamel.yaml import YAML

WORKFLOW = """\
# A comment stays.
name: "Pipeline: \\u2028 \U0001f680"
'on':
  push: {branches: [main], paths: ['**/*.py']}
permissions: {contents: read, code-quality: write, vulnerability-alerts: read}
concurrency:
  group: ${{ github.ref }}
  queue: max  # GitHub keeps a hundred
env: {ACCOUNT: "0123456789", AT: '22:30', no: off}
jobs:
  a:
    runs-on: ubuntu-24.04
    permissions: {artifact-metadata: write, id-token: write}
    environment: {name: prod, url: 'https://x/?a=b', deployment: false}
    concurrency: {group: a, queue: max}
    strategy: {matrix: {region: [eu-west-1]}}
    steps:
      - uses: $/.github/actions/dpra/notify
        with: {queue: kept, deployment: kept, needs: "${{ toJSON(needs) }}"}
      - name: '#not a comment'
        run: |
          queue: max
            indented, and a very long line: 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 01234567
          permissions: code-quality
  b:
    runs-on: ubuntu-24.04
    environment: beta
    concurrency: deploy
    steps: [{run: 'true'}]
"""


def differences(old: Any, new: Any, path: str = "") -> dict[str, Any]:
    """Path -> what is there now, for all that differs; the order of keys counts."""
    if isinstance(old, dict) and isinstance(new, dict):
        assert [key for key in old if key in new] == list(new)
        found = [differences(old[key], new.get(key), f"{path}/{key}") for key in old]
        return {place: value for one in found for place, value in one.items()}
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        found = [differences(*pair, f"{path}/{number}") for number, pair in enumerate(zip(old, new, strict=True))]
        return {place: value for one in found for place, value in one.items()}
    return {} if old == new and type(old) is type(new) else {path: new}


def test_the_lowered_copy_differs_in_nothing_but_the_table():
    lowered = dialect.lower_text(WORKFLOW)
    load = YAML(typ="safe").load
    assert differences(load(WORKFLOW), load(lowered)) == {
        "/permissions/code-quality": None,
        "/permissions/vulnerability-alerts": None,
        "/concurrency/queue": None,
        "/jobs/a/permissions/artifact-metadata": None,
        "/jobs/a/environment/deployment": None,
        "/jobs/a/concurrency/queue": None,
        "/jobs/a/steps/0/uses": "./.github/actions/dpra/notify",
    }


def test_what_is_lowered_already_stays_as_it_is_to_the_letter():
    lowered = dialect.lower_text(WORKFLOW)
    assert "# A comment stays." in lowered
    assert dialect.lower_text(lowered) == lowered


@pytest.mark.skipif(not shutil.which("act", path=act.tools()), reason="act is not installed")
def test_act_refuses_the_original_and_reads_the_copy(tmp_path):
    def validates(text: str) -> bool:
        (tmp_path / "workflow.yml").write_text(text)
        command = [act.find(), "--validate", "--strict", "-W", "workflow.yml", "-C", "."]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=act.environment(tmp_path, act.shell(tmp_path), "http://127.0.0.1:9", True),
            check=False,
        )
        return done.returncode == 0

    assert not validates(WORKFLOW)
    assert validates(dialect.lower_text(WORKFLOW))
