"""Packer's templates: what `dpra new` makes passes, each rule blocks its known bad input, and nothing hides one."""

import json
from pathlib import Path
from typing import Any

import pytest

NEW = Path(__file__).parents[2] / "cookiecutter-dpra/{{cookiecutter.name}}/with-packer/packer"
GOOD = (NEW / "image.pkr.hcl").read_text().replace('{{ "', "").replace('" }}', "")
SCRIPTS = {path.name: path.read_text() for path in (NEW / "scripts").iterdir()}
SHELL = '  provisioner "shell" {\n'
AS_ROOT = 'execute_command = "sudo -n env {{ .Vars }} bash {{ .Path }}"'
END = "build {\n"
SOURCE = '  communicator  = "ssh"\n'
NAMED = '"${path.root}/scripts/10-packages.sh"'


def more(text: str) -> tuple[str, str]:
    """More in the source."""
    return SOURCE, f"{SOURCE}  {text}\n"


def step(text: str) -> tuple[str, str]:
    """More in the build."""
    return SHELL, f"  {text}\n{SHELL}"


def commands(text: str) -> tuple[str, str]:
    return step(f'provisioner "shell" {{\n    inline = ["true", "{text}"]\n  }}')


POLICY = [
    (('"= 1.8.2"', '">= 1.8.2"'), "plugin-version"),
    (('"= 1.8.2"', '"~> 1.8"'), "plugin-version"),
    (('      version = "= 1.8.2"\n', ""), "plugin-version"),
    (("required_plugins", "required_things"), "plugin-version"),
    (("github.com/hashicorp/amazon", "github.com/someone/amazon"), "plugin-source"),
    (("github.com/hashicorp/amazon", "github.com/hashicorp/../someone/amazon"), "plugin-source"),
    (step('provisioner "shell-local" { inline = ["curl -f https://example.com"] }'), "on-the-runner"),
    (step('provisioner "ansible" { playbook_file = "x.yml" }'), "on-the-runner"),
    (step('error-cleanup-provisioner "shell-local" { inline = ["true"] }'), "on-the-runner"),
    (step('post-processor "shell-local" { inline = ["true"] }'), "on-the-runner"),
    (step('post-processors {\n    post-processor "shell-local" { inline = ["true"] }\n  }'), "on-the-runner"),
    ((END, f'data "external" "x" {{\n  program = ["sh"]\n}}\n{END}'), "on-the-runner"),
    (more('access_key = "AKIAIOSFODNN7EXAMPLE"'), "credentials"),
    (more("assume_role {\n    role_arn = \"arn:aws:iam::111111111111:role/x\"\n  }"), "credentials"),
    (('variable "dpra"', 'variable "other"'), "undeclared"),
    (('"amazon-ebs" "image"', '"amazon-ebssurrogate" "image"'), "builder"),
    (('["source.amazon-ebs.image"]', '["source.null.image"]'), "builder"),
    (("= var.dpra.parent", '= "ami-0a1b2c3d4e5f60718"'), "not-told"),
    (("= var.dpra.name", '= "base ${timestamp()}"'), "not-told"),
    (("= var.dpra.region", '= "us-east-1"'), "not-told"),
    (("= var.dpra.profile", '= "administrator"'), "not-told"),
    (("= var.dpra.security_group", '= "sg-0a1b2c3d"'), "not-told"),
    (("  tags            = var.dpra.tags\n", ""), "not-told"),
    (("  snapshot_tags   = var.dpra.tags", "  snapshot_tags   = {}"), "not-told"),
    (("  run_tags        = var.dpra.tags", '  run_tags = merge(var.dpra.tags, {"dpra:for" = "x"})'), "not-told"),
    (more('source_ami_filter {\n    owners = ["self"]\n  }'), "not-told"),
    (('  sources = ["source.amazon-ebs.image"]', '  source "amazon-ebs.image" {\n    ami_name = "x"\n  }'), "not-told"),
    (('  ssh_interface = "session_manager"\n', ""), "open-port"),
    (('"session_manager"', '"public_ip"'), "open-port"),
    (('communicator  = "ssh"', 'communicator  = "winrm"'), "open-port"),
    (more("associate_public_ip_address = true"), "open-port"),
    (more('temporary_security_group_source_cidrs = ["0.0.0.0/0"]'), "open-port"),
    (more('ami_groups = ["all"]'), "publishing"),
    (more('ami_users = ["555555555555"]'), "publishing"),
    (more('ami_regions = ["us-east-1"]'), "publishing"),
    (more('snapshot_users = ["555555555555"]'), "publishing"),
    (("  sources = [", '  source "amazon-ebs.image" {\n    ami_groups = ["all"]\n  }\n  sources = ['), "publishing"),
    (more("force_deregister = true"), "replacing"),
    (('http_tokens                 = "required"', 'http_tokens                 = "optional"'), "metadata"),
    ((NAMED, '"scripts/10-packages.sh"'), "script"),
    ((NAMED, '"${path.root}/../other.sh"'), "script"),
    ((NAMED, '"${path.root}/scripts/missing.sh"'), "script"),
    ((NAMED, 'var.dpra.name'), "script"),
    ((AS_ROOT, f"{AS_ROOT}\n    valid_exit_codes = [0, 1]"), "ignored-failure"),
    ((AS_ROOT, AS_ROOT.replace("{{ .Path }}", "{{ .Path }} || true")), "ignored-failure"),
    (commands("curl -sSf https://example.com/i.sh | bash"), "piped-download"),
    (commands("apt-get install --allow-unauthenticated tool"), "unverified"),
    (commands("chmod -R 777 /opt"), "world-writable"),
]  # fmt: skip
QUALITY = [
    ((END, f'source "amazon-ebs" "second" {{\n}}\n{END}'), "one-image"),
    (('["source.amazon-ebs.image"]', '["source.amazon-ebs.image", "source.amazon-ebs.other"]'), "one-image"),
    ((SOURCE, SOURCE * 2), "twice"),
    (commands("rm -rf $1/"), "SC2086"),
]


def run(job: Any, action: str, text: str, **others: str) -> tuple[int, set[str], str]:
    """The exit code, the rules that were broken, and all that was said."""
    files = {"image.pkr.hcl": text, **{f"scripts/{name}": script for name, script in SCRIPTS.items()}, **others}
    for name, content in files.items():
        job.write(f"packer/{name}", content)
    said = {"tool": "packer-template", "language": "packer", "settings": json.dumps({"packer": "packer"})}
    done = job.use("check", action=action, fail_on="low", **said)
    kept = job.evidence / f"{action}.findings.json"
    found = {one["rule"] for one in json.loads(kept.read_text())} if kept.exists() else set()
    return done.code, found, done.out


def changed(change: tuple[str, str]) -> str:
    assert GOOD.count(change[0]) == 1, change
    return GOOD.replace(*change)


@pytest.mark.parametrize("action", ["code-quality", "policy-as-code"])
def test_what_is_new_passes(job: Any, action: str) -> None:
    code, found, said = run(job, action, GOOD)
    assert (code, found) == (0, set()), said


def test_tags_of_ones_own_before_those_of_the_pipeline_pass(job: Any) -> None:
    text = GOOD.replace("  run_tags        = var.dpra.tags", '  run_tags = merge({team = "shop"}, var.dpra.tags)')
    text = text.replace("= var.dpra.region", '= "${var.dpra.region}"').replace('"= 1.8.2"', '"1.8.2"')
    code, found, said = run(job, "policy-as-code", text)
    assert (code, found) == (0, set()), said


@pytest.mark.parametrize(("change", "rule"), POLICY)
def test_a_template_that_takes_what_is_the_pipelines_blocks(job: Any, change: tuple[str, str], rule: str) -> None:
    code, found, said = run(job, "policy-as-code", changed(change))
    assert code == 1, said
    assert rule in found, said


@pytest.mark.parametrize(("change", "rule"), QUALITY)
def test_a_template_that_packer_would_refuse_or_nobody_would_read_blocks(
    job: Any, change: tuple[str, str], rule: str
) -> None:
    code, found, said = run(job, "code-quality", changed(change))
    assert code == 1, said
    assert rule in found, said


def test_a_finding_has_its_file_and_line(job: Any) -> None:
    script = "#!/bin/bash\nset -eu\n\ncurl -f https://example.com/i \\\n  | bash\nchmod 777 /opt\n"
    run(job, "policy-as-code", changed(('"session_manager"', '"public_ip"')), **{"scripts/10-packages.sh": script})
    listed = json.loads((job.evidence / "policy-as-code.findings.json").read_text())
    assert {(one["rule"], one["file"], one["line"]) for one in listed} == {
        ("open-port", "packer/image.pkr.hcl", GOOD[: GOOD.index("ssh_interface")].count("\n") + 1),
        ("piped-download", "packer/scripts/10-packages.sh", 4),
        ("world-writable", "packer/scripts/10-packages.sh", 6),
    }


def test_a_script_by_another_name_and_one_that_nobody_names_are_read(job: Any) -> None:
    bad = "#!/usr/bin/env bash\ncurl -f https://example.com/i | sh\n"
    code, found, said = run(job, "policy-as-code", GOOD, **{"scripts/later/tool": bad})
    assert (code, found) == (1, {"piped-download"}), said


@pytest.mark.parametrize("name", ["more.pkr.json", "x.auto.pkrvars.hcl", "x.auto.pkrvars.json"])
def test_what_packer_reads_besides_and_this_does_not_blocks(job: Any, name: str) -> None:
    code, found, said = run(job, "policy-as-code", GOOD, **{name: "{}"})
    assert (code, found) == (1, {"unread"}), said


def test_what_is_in_two_files_is_one_template(job: Any) -> None:
    head, _, build = GOOD.partition("\nbuild {")
    code, found, said = run(job, "policy-as-code", head, **{"build.pkr.hcl": f"build {{{build}"})
    assert (code, found) == (0, set()), said


def test_a_comment_lets_nothing_of_shellcheck_through(job: Any) -> None:
    script = "#!/bin/bash\n# shellcheck disable=SC2086\nrm -rf $1/\n"
    code, found, said = run(job, "code-quality", GOOD, **{"scripts/10-packages.sh": script})
    assert code == 1, said
    assert "inline-suppression" in found, said


@pytest.mark.parametrize("text", ["source {", "a = ", "build {\n  x = [\n}\n", "\x00"])
@pytest.mark.parametrize("action", ["code-quality", "policy-as-code"])
def test_what_cannot_be_read_blocks(job: Any, action: str, text: str) -> None:
    code, found, said = run(job, action, GOOD, **{"other.pkr.hcl": text})
    assert (code, found) == (1, {"not-checked"}), said


@pytest.mark.parametrize("action", ["code-quality", "policy-as-code"])
def test_a_folder_without_a_template_is_an_error_which_says_what_to_do(job: Any, action: str) -> None:
    job.write("other/notes.txt", "")
    said = {"tool": "packer-template", "language": "packer", "settings": json.dumps({"packer": "other"})}
    done = job.use("check", action=action, **said)
    assert (done.code, done.record["result"]) == (1, "error")
    told = "There is no Packer template (*.pkr.hcl) in other: create one, or say image.components in dpra.yml"
    assert done.errors == [f"title={action}::{told}"]
