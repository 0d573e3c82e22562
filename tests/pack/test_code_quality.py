"""A gate of code quality looks at every file that there is, whatever the project's configuration or a comment says.

What the configuration adds is found, too; what it hides is a finding, `not-checked`, with the file's name."""

import json
from typing import Any

import pytest

Files = dict[str, str]
Found = set[tuple[str, str]]


def check(job: Any, tool: str, language: str, files: Files, **inputs: str) -> tuple[Any, Found]:
    """What the gate said, and rule and file of each finding."""
    for name, content in files.items():
        job.write(name, content)
    ran = job.use("check", **{"action": "code-quality", "tool": tool, "language": language, **inputs})
    report = job.evidence / f"{inputs.get('action', 'code-quality')}.findings.json"
    listed = json.loads(report.read_text()) if report.exists() else []
    return ran, {(one["rule"], one["file"]) for one in listed}


def blocked(job: Any, tool: str, language: str, files: Files, **inputs: str) -> Found:
    """As `check`, of what must be blocked: the findings that would block alone.

    A table's rows lie in one repository, so that the tool starts once; what a row is for is told by its file."""
    ran, _ = check(job, tool, language, files, **inputs)
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    listed = json.loads((job.evidence / f"{inputs.get('action', 'code-quality')}.findings.json").read_text())
    levels = ("critical", "high", *(() if inputs.get("fail_on") == "high" else ("medium",)))
    return {(one["rule"], one["file"]) for one in listed if one["severity"] in levels}


def laid(rows: dict[str, Files]) -> Files:
    """Each row in a folder that is called like it."""
    return {f"{row}/{name}": content for row, files in rows.items() for name, content in files.items()}


def stage(job: Any) -> None:
    """All files become tracked, the ignored, too."""
    job.git("init", "--quiet")
    job.git("add", "--all", "--force")


# ---- ruff

NAMELESS = "x = nobody\n"
UNUSED = "import os\n"
RUFF_BLIND: dict[str, Files] = {
    "excluded by force": {"ruff.toml": 'exclude = ["a.py"]\nforce-exclude = true\n'},
    "extend-exclude": {".ruff.toml": 'extend-exclude = ["a*"]\n'},
    "no rule selected": {"pyproject.toml": "[tool.ruff.lint]\nselect = []\n"},
    "every rule ignored": {"ruff.toml": '[lint]\nignore = ["ALL"]\n'},
    "every rule ignored in each file": {"ruff.toml": "[lint]\nper-file-ignores = {'*' = ['ALL']}\n"},
    "each selected rule ignored in this file": {
        "ruff.toml": "[lint]\nselect = ['F401', 'E711']\nper-file-ignores = {'a.py' = ['F', 'E']}\n"
    },
    "ignored in all files but one": {"ruff.toml": "[lint]\nper-file-ignores = {'!b.py' = ['ALL']}\n"},
    "by another file": {"ruff.toml": "extend = 'x/base.toml'\n", "x/base.toml": "[lint]\nselect = []\n"},
}
EVERYTHING_EXCLUDED = {"pyproject.toml": '[tool.ruff]\nexclude = ["*"]\n'}


def test_a_configuration_cannot_make_ruff_look_at_nothing(job: Any) -> None:
    rows = {row: {"a.py": UNUSED, **files} for row, files in RUFF_BLIND.items()}
    found = blocked(job, "ruff", "python", {"a.py": UNUSED, **EVERYTHING_EXCLUDED, **laid(rows)})
    assert {("not-checked", "a.py"), *(("not-checked", f"{row}/a.py") for row in rows)} <= found


def test_a_configuration_in_a_subfolder_cannot_either(job: Any) -> None:
    files = {"a.py": "x = 1\n", "b/a.py": UNUSED, "b/ruff.toml": "[lint]\nselect = []\n"}
    ran, found = check(job, "ruff", "python", files)
    assert (ran.code, found) == (1, {("not-checked", "b/a.py")}), ran.out


def test_a_comment_that_switches_every_rule_off_is_a_finding(job: Any) -> None:
    comments = ("# ruff: noqa", "# flake8: noqa", "#ruff:noqa", "# ruff: noqa  # generated")
    files = {f"{number}.py": f"{comment}\n{UNUSED}" for number, comment in enumerate(comments)}
    assert {("not-checked", name) for name in files} <= blocked(job, "ruff", "python", files)


RUFF_ERRORS: dict[str, Files] = {
    "noqa": {"a.py": "x = nobody  # noqa\n"},
    "noqa-rule": {"a.py": "x = nobody  # noqa: F821\n"},
    "noqa-file": {"a.py": "# ruff: noqa: F821\nx = nobody\n"},
    "disable": {"a.py": "# ruff: disable[F821]\nx = nobody\n"},
    "ignored": {"a.py": NAMELESS, "ruff.toml": "[lint]\nignore = ['F821']\n"},
    "not-selected": {"a.py": NAMELESS, "pyproject.toml": "[tool.ruff.lint]\nselect = ['E501']\n"},
    "fix-only": {"a.py": NAMELESS, "ruff.toml": "fix-only = true\n"},
    "excluded": {"a.py": NAMELESS, "ruff.toml": "[lint]\nexclude = ['a.py']\n"},
    "ending": {"a.PY": NAMELESS},
    "script": {"a": f"#!/usr/bin/env python3\n{NAMELESS}"},
}


def test_nothing_lets_a_real_error_of_python_through(job: Any) -> None:
    found = blocked(job, "ruff", "python", laid(RUFF_ERRORS))
    assert {("F821", f"{row}/{next(iter(files))}") for row, files in RUFF_ERRORS.items()} <= found


def test_ruff_looks_at_tracked_files_that_git_ignores_or_that_lie_in_build(job: Any) -> None:
    for name in ("hidden/a.py", "build/a.py", ".venv/a.py"):
        job.write(name, UNUSED)
    job.write(".gitignore", "hidden/\n.venv/\n")
    stage(job)
    ran, found = check(
        job,
        "ruff",
        "python",
        {
            "ruff.toml": "respect-gitignore = true\n",
            "generated/b.py": UNUSED,
            ".gitignore": "hidden/\n.venv/\ngenerated/\n",
        },
    )
    assert ran.code == 1
    assert found == {("F401", "hidden/a.py"), ("F401", "build/a.py"), ("F401", ".venv/a.py")}


def test_what_a_project_chose_deliberately_stays_as_it_is(job: Any) -> None:
    rows: dict[str, Files] = {
        "ignored": {"a.py": "l = 1\n", "ruff.toml": "[lint]\nextend-select = ['E7']\nignore = ['E741']\n"},
        "noqa": {"a.py": "import os  # noqa: F401\n"},
        "in-this-file": {"a.py": UNUSED, "ruff.toml": "[lint]\nper-file-ignores = {'a.py' = ['F401']}\n"},
        "text": {"a.py": 'x = "# ruff: noqa"\n'},
        ".": {"a.py": "type Name = str\n", "pyproject.toml": "[project]\nrequires-python = '>=3.12'\n"},
    }
    ran, found = check(job, "ruff", "python", laid(rows))
    assert (ran.code, found) == (0, set()), ran.out


def test_a_configuration_adds_rules(job: Any) -> None:
    ran, found = check(job, "ruff", "python", {"a.py": "x = 1;\n", "ruff.toml": "[lint]\nselect = ['E7']\n"})
    assert ran.code == 1
    assert ("E703", "a.py") in found


def test_a_file_that_cannot_be_read_by_name_is_not_checked(job: Any) -> None:
    ran, found = check(job, "ruff", "python", {"a.py": "x = 1\n", "b\nc.py": UNUSED})
    assert ran.code == 1
    assert {rule for rule, _ in found} == {"not-checked"}


def test_a_waiver_lets_a_file_be_excluded(job: Any) -> None:
    waiver = {"rule": "not-checked", "path": "generated/**", "reason": "made", "owner": "me", "until": "2999-01-01"}
    files = {"generated/a.py": UNUSED, "b.py": "x = 1\n", "ruff.toml": "exclude = ['generated']\n"}
    ran, _ = check(job, "ruff", "python", files, waivers=json.dumps([waiver]))
    assert (ran.code, ran.record["result"]) == (0, "pass"), ran.out


# ---- eslint, biome

USELESS = "debugger;\n"
NODE_HIDDEN: Files = {
    "a.ts": USELESS,
    "a.tsx": "export const A = () => <p>{1}</p>;\ndebugger;\n",
    "a.mts": USELESS,
    "a.cts": USELESS,
    "a.jsx": USELESS,
    "b.TS": USELESS,
    "app/[slug].ts": USELESS,
    "a b/*.js": USELESS,
    "a": f"#!/usr/bin/env node\n{USELESS}",
    "comments.ts": f"/* eslint-disable */\n/* biome-ignore-all lint: x */\n{USELESS}",
    "comments.js": f"// eslint-disable-next-line\n// biome-ignore lint/suspicious/noDebugger: x\n{USELESS}",
    "next.js": f"// eslint-disable-next-line\n{USELESS}",
    "b/a.ts": USELESS,
}
# What lies beside all of them, at the root.
NODE_BLIND: list[Files] = [
    {
        "eslint.config.mjs": 'export default [{ ignores: ["**"] }];\n',
        ".eslintignore": "*\n",
        ".biomeignore": "*\n",
        "biome.json": '{"files": {"includes": ["!**"]}}',
        "b/biome.json": '{"root": false, "linter": {"rules": {"suspicious": "off"}}}',
    },
    {"eslint.config.js": "module.exports = [];\n", "biome.json": '{"linter": {"enabled": false}}'},
    {"biome.jsonc": '{"linter": {"rules": {"recommended": false}}}'},
    {".biome.json": '{"vcs": {"enabled": true, "clientKind": "git", "useIgnoreFile": true}}'},
    {"biome.json": '{"overrides": [{"includes": ["**"], "linter": {"enabled": false}}]}'},
    {"biome.json": '{"files": {"maxSize": 1}}'},
]


# To eslint, Biome's files are any other.
@pytest.mark.parametrize(
    ("tool", "blind"), [("eslint", 0), ("eslint", 1), *(("biome", number) for number in range(len(NODE_BLIND)))]
)
def test_nothing_hides_a_file_of_javascript_or_typescript(job: Any, needs: Any, tool: str, blind: int) -> None:
    needs("npm")
    rule = {"eslint": "no-debugger", "biome": "lint/suspicious/noDebugger"}[tool]
    found = blocked(job, tool, "node", NODE_HIDDEN | NODE_BLIND[blind])
    assert {(rule, name) for name in NODE_HIDDEN} <= found


NODE_GOOD: Files = {
    "a.ts": "export const x: number = 1;\n",
    "a.tsx": "export const A = (p: { x: string }) => <p>{p.x}</p>;\n",
    "a.mts": "import { y } from './y.mjs';\nexport type X = typeof y;\nexport const x: X = y;\n",
    "a.cts": "import y = require('y');\nexport = y;\n",
    "a.d.ts": "declare module 'x' {\n  export const y: string;\n}\n",
    "b.ts": "enum A { B }\nabstract class C<T> { constructor(private t: T) {} get() { return this.t; } }\n"
    "export { A, C };\n",
    "a.js": "const y = require('y');\nmodule.exports = y;\n",
    "a.mjs": "\ufeffexport const x = await fetch('x').catch((_) => 1);\n",
}
# Biome would have React used, and no return outside of a function.
ESLINT_GOOD = {
    "b.js": "if (process.argv[2] === 'x') return;\nmodule.exports = 1;\n",
    "a.jsx": "import React from 'react';\nexport const A = () => <p>{document.title}</p>;\n",
}


@pytest.mark.parametrize("tool", ["eslint", "biome"])
def test_good_javascript_and_typescript_passes(job: Any, needs: Any, tool: str) -> None:
    needs("npm")
    ran, _ = check(job, tool, "node", NODE_GOOD | (ESLINT_GOOD if tool == "eslint" else {}))
    assert (ran.code, ran.record["result"]) == (0, "pass"), ran.out


NODE_BROKEN = {
    "a.ts": "const = ;\n",
    "a.tsx": "export const A = () => <p>;\n",
    "a.mts": "export {\n",
    "a.cts": "interface { }\n",
    "a.js": "function ( {\n",
    "a.jsx": "<a>\n",
}


@pytest.mark.parametrize("tool", ["eslint", "biome"])
def test_what_cannot_be_parsed_is_a_finding(job: Any, needs: Any, tool: str) -> None:
    needs("npm")
    found = blocked(job, tool, "node", NODE_BROKEN | {"b.ts": "export const x = 1;\n"})
    assert {name for rule, name in found if rule == "not-parsed"} == set(NODE_BROKEN)


ESLINTRC = {
    ".eslintrc.json": "{}",
    ".eslintrc.cjs": "module.exports = {};\n",
    ".eslintrc.yml": "root: true\n",
    ".eslintrc": "{}",
    ".eslintrc.js": "module.exports = {};\n",
    "packages/a/.eslintrc.yaml": "root: true\n",
    "package.json": '{"eslintConfig": {"rules": {}}}',
}


def test_a_configuration_that_eslint_no_longer_reads_is_a_finding(job: Any, needs: Any) -> None:
    needs("npm")
    found = blocked(job, "eslint", "node", {"a.ts": "export const x = 1;\n", **ESLINTRC})
    assert {("eslintrc", name) for name in ESLINTRC} <= found
    assert "npx @eslint/migrate-config" in (job.evidence / "code-quality.sarif").read_text()


@pytest.mark.parametrize("tool", ["eslint", "biome"])
def test_generated_files_that_git_ignores_are_not_linted_unless_they_are_tracked(
    job: Any, needs: Any, tool: str
) -> None:
    needs("npm")
    files = {"tracked/a.ts": USELESS, "node_modules/x/a.js": USELESS, ".gitignore": "node_modules/\ndist/\ntracked/\n"}
    for name, content in files.items():
        job.write(name, content)
    stage(job)
    ran, found = check(job, tool, "node", {"dist/a.js": USELESS, "a.ts": "export const x = 1;\n"})
    assert ran.code == 1
    assert {file for _, file in found} == {"tracked/a.ts", "node_modules/x/a.js"}


@pytest.mark.parametrize("tool", ["ruff", "pylint", "eslint", "biome", "checkstyle", "go-vet", "hadolint"])
def test_no_file_at_all_is_an_error(job: Any, needs: Any, tool: str) -> None:
    needs({"eslint": "npm", "biome": "npm", "checkstyle": "checkstyle", "go-vet": "go"}.get(tool, ""))
    language = {"ruff": "python", "pylint": "python", "checkstyle": "java", "go-vet": "go", "hadolint": "container"}
    ran, _ = check(job, tool, language.get(tool, "node"), {"README.md": "x\n"})
    assert (ran.code, ran.record["result"]) == (1, "error"), ran.out


# ---- pylint

PRINTED = "print(nobody)\n"


PYLINT_HIDDEN: Files = {
    "skip.py": f"# pylint: skip-file\n{PRINTED}",
    "all.py": f"# pylint: disable=all\n{PRINTED}",
    "line.py": "print(nobody)  # pylint: disable=undefined-variable\n",
    "next.py": "# pylint: disable-next=E0602\nprint(nobody)\n",
    "errors.py": f"#pylint:disable=E\n{PRINTED}",
    "a.py": PRINTED,
    "a/b/c.py": PRINTED,
    ".hidden/a.py": PRINTED,
    "CVS/a.py": PRINTED,
    ".#a.py": PRINTED,
    "script": f"#!/usr/bin/env python3\n{PRINTED}",
    "b.PY": PRINTED,
}
PYLINT_BLIND = {
    "a/__init__.py": "",
    ".pylintrc": "[MAIN]\nignore=a.py\n",
    "pylintrc": "[MAIN]\ndisable=all\n",
    "pyproject.toml": '[tool.pylint.main]\ndisable = ["undefined-variable", "all"]\n',
    "setup.cfg": "[pylint.main]\ndisable=E0602\nignore-paths=.*\n",
    "tox.ini": "[pylint]\ndisable=all\n",
}


def test_nothing_hides_an_error_from_pylint(job: Any) -> None:
    found = blocked(job, "pylint", "python", PYLINT_HIDDEN | PYLINT_BLIND)
    assert {("undefined-variable", name) for name in PYLINT_HIDDEN} <= found


def test_what_a_project_disables_for_pylint_stays_so_unless_it_is_an_error(job: Any) -> None:
    files = {"a.py": "X = 1  # TODO: y\n", "pyproject.toml": "[tool.pylint]\n'messages control'.disable = 'fixme'\n"}
    ran, found = check(job, "pylint", "python", files)
    assert ran.code == 0, ran.out
    assert "fixme" not in {rule for rule, _ in found}
    ran, found = check(job, "pylint", "python", {"pyproject.toml": ""})
    assert ran.code == 1
    assert ("fixme", "a.py") in found


# ---- cfn-lint, hadolint

SITE = "Resources:\n  Site:\n    Type: AWS::S3::Bucket\n    Metadata: {%s}\n    Properties: {Nme: x}\n"
IGNORED = "cfn-lint: {config: {ignore_checks: [E3002, E0]}}"
CFN_HIDDEN: Files = {
    "infrastructure/resource.yml": SITE % IGNORED,
    "infrastructure/escaped.yml": SITE % '"cfn\\u002dlint": {config: {ignore_checks: [E]}}',
    "infrastructure/whole.yml": f"Metadata: {{{IGNORED}}}\n{SITE % ''}",
    "infrastructure/template.yml": SITE % "",
    "infrastructure/nested/[a].yaml": SITE % "",
    "infrastructure/a.YML": SITE % "",
    "cdk.out/assembly-Prod/Shop.template.json": '{"Resources": {"Site": {"Type": "AWS::S3::Bucket", '
    '"Properties": {"Nme": "x"}}}}',
}
CFN_BLIND: list[Files] = [
    {".cfnlintrc": "ignore_checks: [E3002]\n", "infrastructure/.cfnlintrc.yml": "ignore_checks: [E]\n"},
    {".cfnlintrc.yaml": "ignore_templates: [infrastructure/template.yml]\n"},
]


@pytest.mark.parametrize("blind", range(len(CFN_BLIND)))
def test_nothing_hides_an_error_from_cfn_lint(job: Any, blind: int) -> None:
    topic = {"infrastructure/topic.yml": "Resources: {P: {Type: AWS::SNS::Topic}}\n"}
    found = blocked(job, "cfn-lint", "cloudformation", topic | CFN_HIDDEN | CFN_BLIND[blind])
    assert {("E3002", name) for name in CFN_HIDDEN} <= found


SUDO = "FROM debian:12\nRUN sudo ls\n"
DOCKERFILES = {
    "Dockerfile": SUDO,
    "global/Dockerfile": "# hadolint global ignore=DL3004\n" + SUDO,
    "line/Dockerfile": "FROM debian:12\n# hadolint ignore=DL3004\nRUN sudo ls\n",
    "a b/Dockerfile.prod": SUDO,
    "x/web.Dockerfile": SUDO,
    "dockerfile": SUDO,
    "x/Containerfile": SUDO,
}
HADOLINT_BLIND: list[Files] = [
    {".hadolint.yaml": "ignored: [DL3004]\n"},
    {".hadolint.yml": "failure-threshold: none\noverride: {style: [DL3004]}\n"},
]


@pytest.mark.parametrize(("action", "tool"), [("code-quality", "hadolint"), ("policy-as-code", "trivy")])
def test_a_dockerfile_that_is_missing_is_an_error_which_says_what_to_do(job: Any, action: str, tool: str) -> None:
    job.write("other/Dockerfile", "FROM scratch\n")
    settings = '{"file": "Dockerfile"}'
    done = job.use("check", action=action, tool=tool, language="container", settings=settings)
    assert (done.code, done.record["result"]) == (1, "error")
    assert done.errors == [f"title={action}::Dockerfile does not exist: create it, or say image.file in dpra.yml"]


@pytest.mark.parametrize("blind", range(len(HADOLINT_BLIND)))
def test_nothing_hides_an_error_from_hadolint(job: Any, blind: int) -> None:
    files = {"y/Dockerfile": "FROM scratch\n", **DOCKERFILES, **HADOLINT_BLIND[blind]}
    assert {("DL3004", name) for name in DOCKERFILES} <= blocked(job, "hadolint", "container", files)


# ---- trivy, checkov, cfn-guard

BUCKET = 'resource "aws_s3_bucket" "site" {%s\n  acl = "public-read"\n}\n'
OPEN = (
    "Resources:\n  Site:\n    Type: AWS::S3::Bucket\n    Metadata: {%s}\n    Properties: {AccessControl: PublicRead}\n"
)
PUBLIC = {"trivy": "AWS-0092", "checkov": "CKV_AWS_20", "cfn-guard": "S3_BUCKET_LEVEL_PUBLIC_ACCESS_PROHIBITED_CHECK"}
ESCAPED = '"gu\\u0061rd": {"Suppressed\\u0052ules": [S3_BUCKET_LEVEL_PUBLIC_ACCESS_PROHIBITED_CHECK]}'
OFF = {
    ".checkov.yaml": "skip-check: [CKV_AWS_20]\nskip-path: ['.*']\n",
    ".checkov.yml": "framework: [secrets]\n",
    "trivy.yaml": "severity: [LOW]\nscan: {skip-files: ['**']}\n",
    ".trivyignore": "AWS-0092\n",
    ".trivyignore.yaml": "misconfigurations: [{id: AWS-0092}]\n",
}
TERRAFORM: Files = {
    "inside/m.tf": BUCKET % " # checkov:skip=CKV_AWS_20:x\n  #trivy:ignore:*\n  #tfsec:ignore:*",
    "above/m.tf": f"#trivy:ignore:AWS-0092\n#tfsec:ignore:AVD-AWS-0092\n{BUCKET % ''}",
    "m.tf": BUCKET % "",
    "stacks/a/m.tf": BUCKET % "",
    ".hidden/m.tf": BUCKET % "",
    "node_modules/x/m.tf": BUCKET % "",
    "a b/M.tf": BUCKET % "",
}
BROKEN_TERRAFORM: Files = {
    f"bad-{number}/m.tf": content
    for number, content in enumerate(('resource "x" {{\n', "/*\n", 'variable "x" {}\nx = <<EOF\n', "\x00", "a b c\n"))
}


@pytest.mark.parametrize("tool", ["trivy", "checkov"])
def test_nothing_hides_a_policy_of_terraform_and_what_was_not_read_is_a_finding(job: Any, tool: str) -> None:
    """Of what they do not read both say nothing, and exit 0."""
    off = OFF | {f"stacks/a/{name}": content for name, content in OFF.items()}
    files = {"ok/v.tf": 'variable "x" {}\n', **off, **TERRAFORM, **BROKEN_TERRAFORM}
    found = blocked(job, tool, "terraform", files, action="policy-as-code")
    assert {(PUBLIC[tool], name) for name in TERRAFORM} <= found
    assert {one for one in found if one[1] not in TERRAFORM} == {("not-checked", name) for name in BROKEN_TERRAFORM}
    assert b"canary" not in job.everything_written()


TEMPLATES: Files = {
    "infrastructure/plain.yml": OPEN % "",
    "infrastructure/suppressed.yml": OPEN
    % 'guard: {SuppressedRules: ["S3_BUCKET_LEVEL_PUBLIC_ACCESS_PROHIBITED_CHECK"]}',
    "infrastructure/escaped.yml": OPEN % ESCAPED,
    "infrastructure/skipped.yml": OPEN % "checkov: {skip: [{id: CKV_AWS_20}]}",
    "infrastructure/comments.yml": "#trivy:ignore:AWS-0092\n#cfsec:ignore:*\n# checkov:skip=CKV_AWS_20: x\n"
    + OPEN % "",
    "infrastructure/beside.yml": (OPEN % "").replace("Site:", "Site: # checkov:skip=CKV_AWS_20: x"),
    "infrastructure/ignored.yml": (OPEN % "").replace("Site:", "Site: # trivy:ignore:AWS-0092"),
    "infrastructure/deep/er.yaml": OPEN % "",
    "infrastructure/a.YML": OPEN % "",
}
ROLE = (
    "Resources:\n  P:\n    Type: AWS::IAM::ManagedPolicy\n    Properties:\n      PolicyDocument:\n"
    "        Version: '2012-10-17'\n        Statement: [{Effect: Allow, Action: '*', Resource: '*'}]\n"
)
BROKEN_TEMPLATES: Files = {
    f"infrastructure/bad-{number}.yml": content
    for number, content in enumerate(("Resources: [\n", "Resources:\n\t- x\n", "a: b: c\n"))
}
GOOD_TEMPLATES: Files = {
    "infrastructure/topic.yml": "Resources:\n  T:\n    Type: AWS::SNS::Topic\n",
    "infrastructure/parameter.yml": "Resources:\n  T: {Type: AWS::SSM::Parameter}\n",
}


@pytest.mark.parametrize("tool", ["trivy", "checkov", "cfn-guard"])
def test_nothing_hides_a_policy_of_cloudformation_and_what_was_not_read_is_a_finding(job: Any, tool: str) -> None:
    """What cannot be read ends cfn-guard: test_fail_open.py. checkov, without an account, knows no severities."""
    broken = {} if tool == "cfn-guard" else BROKEN_TEMPLATES
    files = {**GOOD_TEMPLATES, **OFF, **TEMPLATES, **broken, "infrastructure/role.yml": ROLE}
    found = blocked(job, tool, "cloudformation", files, action="policy-as-code", fail_on="high")
    suppressed = {"cfn-guard": "uppressed", "trivy": "trivy:ignore"}.get(tool, "\0")
    for name, content in TEMPLATES.items():
        if tool != "cfn-guard" or suppressed not in content:
            assert (PUBLIC[tool], name) in found
        if suppressed in content:
            assert ("inline-suppression", name) in found
    assert {name for rule, name in found if rule == "not-checked"} == set(broken)
    if tool == "checkov":
        assert any(rule.startswith("CKV_AWS_") and name == "infrastructure/role.yml" for rule, name in found)


def test_a_template_that_checkov_does_not_read_is_a_finding(job: Any) -> None:
    """It passes over what does not begin a line of its own, and says nothing."""
    hidden = "Resources: {Site: {Type: AWS::S3::Bucket, Properties: {AccessControl: PublicRead}}}\n"
    files = {
        "infrastructure/bad.yml": hidden,
        "infrastructure/ok.yml": "Resources:\n  T: {Type: AWS::SSM::Parameter}\n",
    }
    ran, found = check(job, "checkov", "cloudformation", files, action="policy-as-code")
    assert (ran.code, found) == (1, {("not-checked", "infrastructure/bad.yml")}), ran.out


# ---- go vet, checkstyle, terraform

PRINTF = 'import "fmt"\n\nfunc F() {\n\tfmt.Printf("%d\\n", "x")\n}\n'
GO: Files = {"go.mod": "module shop\n\ngo 1.21\n", "m.go": "package main\n\nfunc main() {\n}\n"}


@pytest.mark.parametrize(
    "files",
    [
        {"sub/x_windows.go": f"package sub\n\n{PRINTF}", "sub/y.go": "package sub\n"},
        {"sub/x.go": f"//go:build special\n\npackage sub\n\n{PRINTF}", "sub/y.go": "package sub\n"},
        {"ignored.go": f"//go:build ignore\n\npackage main\n\n{PRINTF}\nfunc main() {{\n}}\n"},
        {"two/go.mod": "module two\n\ngo 1.21\n", "two/m.go": f"package two\n\n{PRINTF}"},
        {"_hidden/a.go": f"package hidden\n\n{PRINTF}"},
        {".hidden/a.go": f"package hidden\n\n{PRINTF}"},
        {"sub/x_test.go": f"package sub\n\n{PRINTF}", "sub/y.go": "package sub\n"},
        {"sub/x.GO": f"package sub\n\n{PRINTF}"},
    ],
    ids=lambda files: "-".join(files).replace("/", "."),
)
def test_nothing_hides_a_file_of_go(job: Any, needs: Any, files: Files) -> None:
    needs("go")
    ran, found = check(job, "go-vet", "go", {**GO, **files})
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    [where] = [name for name, content in files.items() if "Printf" in content]
    assert found & {("printf", where), ("not-checked", where)}


@pytest.mark.parametrize(
    "files",
    [
        {"testdata/broken.go": "package bro ken\n"},
        {"vendor/modules.txt": "", "vendor/x/x.go": "package x\nfunc  X() {}\n"},
        {"x_windows.go": "package main\n"},
        {"tool.go": "//go:build ignore\n\npackage main\n\nfunc main() {\n}\n"},
    ],
    ids=lambda files: "-".join(files).replace("/", "."),
)
def test_what_goes_own_tools_pass_over_may_be_there(job: Any, needs: Any, files: Files) -> None:
    needs("go")
    ran, found = check(job, "go-vet", "go", {**GO, **files})
    assert (ran.code, found) == (0, set()), ran.out


def test_cgo_is_not_built_so_it_is_not_checked(job: Any, needs: Any) -> None:
    needs("go")
    ran, found = check(job, "go-vet", "go", {**GO, "c/c.go": 'package c\n\nimport "C"\n'})
    assert ran.code == 1
    assert found == {("not-checked", "c/c.go")}


EQUAL = "class A {\n    boolean f(String s) {\n        %sreturn s == %s;\n    }\n}\n"
LITERAL = EQUAL % ("", '"x"')
FILTERS = """<?xml version="1.0"?>
<!DOCTYPE module PUBLIC "-//Checkstyle//DTD Checkstyle Configuration 1.3//EN"
  "https://checkstyle.org/dtds/configuration_1_3.dtd">
<module name="Checker">
  %s
</module>
"""
OWN_STYLE = "config/checkstyle/checkstyle.xml"


JAVA = {
    "A.java": LITERAL,
    "all/A.java": f'@SuppressWarnings("all")\n{LITERAL}',
    "off/A.java": EQUAL % ("// CHECKSTYLE:OFF\n        ", '"x"'),
    "target/A.java": LITERAL,
    "build/generated/A.java": LITERAL,
    ".github/A.java": LITERAL,
    "a b/A.JAVA": LITERAL,
}
OWN_STYLES = ("", '<property name="severity" value="ignore"/>', '<module name="BeforeExecutionExclusionFileFilter"/>')


@pytest.mark.parametrize("own", OWN_STYLES)
def test_nothing_hides_a_mistake_from_checkstyle(job: Any, needs: Any, own: str) -> None:
    needs("checkstyle")
    found = blocked(job, "checkstyle", "java", {"B.java": "class B {}\n", **JAVA, OWN_STYLE: FILTERS % own})
    assert {name for rule, name in found if rule in ("StringLiteralEqualityCheck", "not-checked")} == set(JAVA)


def test_the_projects_checkstyle_adds(job: Any, needs: Any) -> None:
    needs("checkstyle")
    own = FILTERS % '<module name="TreeWalker"><module name="AvoidStarImport"/></module>'
    ran, found = check(job, "checkstyle", "java", {"A.java": "import java.util.*;\nclass A {}\n", OWN_STYLE: own})
    assert ran.code == 1
    assert ("AvoidStarImportCheck", "A.java") in found


BAD_TERRAFORM = ('output "y" {\n  value = var.z\n}\n', "variable {\n", 'variable   "x" {}\n')


def test_every_folder_of_terraform_counts(job: Any, needs: Any) -> None:
    needs("terraform")
    folders = ("modules/a", "stacks/b/c", ".hidden", "node_modules/x", "a b")
    bad = {f"{folder}/{number}/m.tf": one for folder in folders for number, one in enumerate(BAD_TERRAFORM)}
    found = blocked(job, "terraform", "terraform", {"m.tf": 'variable "x" {\n  type = string\n}\n', **bad})
    assert {file for _, file in found} == set(bad)
