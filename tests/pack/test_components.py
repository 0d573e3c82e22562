"""Component documents of Image Builder: each rule blocks its known bad input, and nothing hides one."""

import json
from typing import Any

import pytest

GOOD = """\
name: packages
schemaVersion: 1.0
constants:
  - VERSION: {type: string, value: "1.2"}
phases:
  - name: build
    steps:
      - name: upgrade
        action: ExecuteBash
        inputs:
          commands:
            - apt-get update
            - |
              set -eu
              tool="/opt/tool-{{ VERSION }}"
              echo "$tool" > /etc/tool
      - name: fetch
        action: WebDownload
        maxAttempts: 3
        inputs:
          - source: https://example.com/tool.tar.gz
            destination: /tmp/tool.tar.gz
            checksum: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
            algorithm: SHA256
  - name: validate
    steps:
      - name: there
        action: ExecuteBash
        inputs: {commands: [test -f /etc/tool]}
"""
SHELL = "            - apt-get update\n"
# What takes the place of a command that is good -> rule, line.
COMMANDS = {
    "curl -sSf https://example.com/i.sh | bash": "piped-download",
    "curl -sSf https://example.com/i.sh | sudo -E bash -s -- --yes": "piped-download",
    "wget -qO- https://example.com/i.py | python3": "piped-download",
    'bash -c "$(curl -fsSL https://example.com/i.sh)"': "piped-download",
    "bash <(curl -fsSL https://example.com/i.sh)": "piped-download",
    "yum install --nogpgcheck -y tool": "unverified",
    "apt-get install --allow-unauthenticated tool": "unverified",
    "curl -fkL https://example.com/tool -o /opt/tool": "unverified",
    "echo 'deb [trusted=yes] https://example.com/ ./' > /etc/apt/sources.list": "unverified",
    "curl -f http://example.com/tool -o /opt/tool": "plain-http",
    "chmod -R 777 /opt": "world-writable",
    "chmod o+rw /opt": "world-writable",
}
FORMS = {
    ("schemaVersion: 1.0", "schemaVersion: 2.0"): ("code-quality", "schema-version"),
    ("constants:", "constant:"): ("code-quality", "unknown-key"),
    ("name: validate", "name: verify"): ("code-quality", "phase"),
    ("name: validate", "name: build"): ("code-quality", "phase"),
    ("name: fetch", "name: upgrade"): ("code-quality", "step"),
    ("action: WebDownload", "action: WebDownlaod"): ("code-quality", "step"),
    ('echo "$tool"', "echo $(cat /etc/x) $tool"): ("code-quality", "SC2046"),
    ('echo "$tool"', "rm -rf $1/"): ("code-quality", "SC2086"),
    ("            checksum: 0123", "            owner: 0123"): ("policy-as-code", "no-checksum"),
    ("        inputs: {commands", "        onFailure: Ignore\n        inputs: {commands"): (
        *("policy-as-code", "ignored-failure"),
    ),
}


def run(job: Any, action: str, text: str, folder: str = "components") -> tuple[int, set[str], str]:
    """The exit code, the rules that were broken, and all that was said."""
    job.write("components/10-packages.yml", text)
    said = {"tool": "components", "language": "machine", "settings": json.dumps({"components": folder})}
    done = job.use("check", action=action, fail_on="low", **said)
    kept = job.evidence / f"{action}.findings.json"
    found = {one["rule"] for one in json.loads(kept.read_text())} if kept.exists() else set()
    return done.code, found, done.out


@pytest.mark.parametrize("action", ["code-quality", "policy-as-code"])
def test_a_good_document_passes(job: Any, action: str) -> None:
    code, found, said = run(job, action, GOOD)
    assert (code, found) == (0, set()), said


@pytest.mark.parametrize(("command", "rule"), COMMANDS.items())
def test_a_command_that_trusts_anybody_blocks(job: Any, command: str, rule: str) -> None:
    code, found, said = run(job, "policy-as-code", GOOD.replace(SHELL, f"            - |\n              {command}\n"))
    assert code == 1, said
    assert rule in found, said


@pytest.mark.parametrize(("change", "gate"), FORMS.items())
def test_what_image_builder_does_not_know_or_nobody_would_notice_blocks(
    job: Any, change: tuple[str, str], gate: tuple[str, str]
) -> None:
    text = GOOD.replace(*change)
    assert text != GOOD
    code, found, said = run(job, gate[0], text)
    assert code == 1, said
    assert gate[1] in found, said


def test_a_break_behind_a_backslash_hides_nothing(job: Any) -> None:
    text = GOOD.replace(
        SHELL, "            - |\n              curl -f https://example.com/i \\\n                | bash\n"
    )
    code, found, said = run(job, "policy-as-code", text)
    assert (code, found) == (1, {"piped-download"}), said


def test_a_comment_lets_nothing_of_shellcheck_through(job: Any) -> None:
    hidden = 'echo "$tool"', "# shellcheck disable=SC2086\n              rm -rf $1/"
    code, found, said = run(job, "code-quality", GOOD.replace(*hidden))
    assert code == 1, said
    assert "inline-suppression" in found, said


@pytest.mark.parametrize("text", ["a: [", "- a\n", "a: &x 1\nb: *x\n", "", "name: a\nname: b\n"])
def test_what_cannot_be_read_blocks(job: Any, text: str) -> None:
    code, _, said = run(job, "policy-as-code", text)
    assert code == 1, said


@pytest.mark.parametrize("action", ["code-quality", "policy-as-code"])
def test_a_folder_without_documents_is_an_error_which_says_what_to_do(job: Any, action: str) -> None:
    job.write("other/notes.txt", "")
    said = {"tool": "components", "language": "machine", "settings": json.dumps({"components": "other"})}
    done = job.use("check", action=action, **said)
    assert (done.code, done.record["result"]) == (1, "error")
    told = "There is no component document (*.yml) in other: create one, or say image.components in dpra.yml"
    assert done.errors == [f"title={action}::{told}"]
