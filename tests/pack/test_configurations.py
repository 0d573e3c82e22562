"""What lies in the repository, or is set in the environment, for a tool to read or to run: nothing of it takes effect.

A row a tool: a known bad input, beside all that the tools of code quality, policies and licences might read, must still
be blocked, and nothing of it may have run: each hostile file would leave a marker."""

import json
import shutil
import zipfile
from typing import Any

import pytest

BUCKET = "Resources:\n  Site:\n    Type: AWS::S3::Bucket\n    Properties: {AccessControl: PublicRead, Nme: x}\n"
TF_BUCKET = 'resource "aws_s3_bucket" "site" {\n  bucket = "site"\n  acl    = "public-read"\n}\n'
METADATA = "Metadata-Version: 2.1\nName: x\nVersion: 1.0\nLicense: AGPL-3.0\n"
AGPL = '{"name": "x", "version": "1.0.0", "license": "AGPL-3.0"}'
GO = 'package main\n\nimport "fmt"\n\nfunc main() {\n\tfmt.Printf("%d\\n", "x")\n}\n'
JAVA = 'class A {\n    boolean f(String s) {\n        return s == "x";\n    }\n}\n'
GO_MOD = "module shop\n\ngo 1.21\n"
CODE, POLICY, LICENCES = "code-quality", "policy-as-code", "licence-policy"
# Tool, action, language, the bad input, what it is called, a program of the machine.
ROWS: list[tuple[str, str, str, dict[str, str], str, str]] = [
    ("ruff", CODE, "python", {"a.py": "x = nobody\n"}, "F821", ""),
    ("pylint", CODE, "python", {"a.py": "print(nobody)\n"}, "undefined-variable", ""),
    ("eslint", CODE, "node", {"a.ts": "debugger;\n"}, "no-debugger", "npm"),
    ("biome", CODE, "node", {"a.ts": "debugger;\n"}, "lint/suspicious/noDebugger", "npm"),
    ("checkstyle", CODE, "java", {"A.java": JAVA}, "StringLiteralEqualityCheck", "checkstyle"),
    ("go-vet", CODE, "go", {"go.mod": GO_MOD, "m.go": GO}, "printf", "go"),
    ("hadolint", CODE, "container", {"Dockerfile": "FROM debian:12\nRUN sudo ls\n"}, "DL3004", ""),
    ("trivy", CODE, "container", {"Dockerfile": "FROM debian:12\nUSER root\n"}, "DS-0002", ""),
    ("cfn-lint", CODE, "cloudformation", {"infrastructure/t.yml": BUCKET}, "E3002", ""),
    ("terraform", CODE, "terraform", {"m.tf": 'output "y" {\n  value = var.z\n}\n'}, "error", "terraform"),
    ("checkov", POLICY, "cloudformation", {"infrastructure/t.yml": BUCKET}, "CKV_AWS_20", ""),
    ("checkov", POLICY, "terraform", {"m.tf": TF_BUCKET}, "CKV_AWS_20", ""),
    ("trivy", POLICY, "cloudformation", {"infrastructure/t.yml": BUCKET}, "AWS-0092", ""),
    ("trivy", POLICY, "terraform", {"m.tf": TF_BUCKET}, "AWS-0092", ""),
    (
        *("cfn-guard", POLICY, "cloudformation", {"infrastructure/t.yml": BUCKET}),
        *("S3_BUCKET_LEVEL_PUBLIC_ACCESS_PROHIBITED_CHECK", ""),
    ),
    ("trivy", LICENCES, "python", {"x-1.0.dist-info/METADATA": METADATA}, "x:AGPL-3.0-only", ""),
    ("pip-licenses", LICENCES, "python", {"x-1.0.dist-info/METADATA": METADATA}, "x:AGPL-3.0", ""),
    ("license-checker", LICENCES, "node", {"node_modules/x/package.json": AGPL}, "x:AGPL-3.0", "npm"),
]
MODULES = ("re", "json", "venv", "sitecustomize", "usercustomize", "os", "typing", "tomllib", "pylint", "checkov")


def hostile(marker: str) -> dict[str, str]:
    python = f"open({marker!r}, 'a').write(__file__ + '\\n')\n"
    script = f'import {{ appendFileSync }} from "node:fs";\nappendFileSync({json.dumps(marker)}, import.meta.url);\n'
    common = f'require("node:fs").appendFileSync({json.dumps(marker)}, __filename);\n'
    hook = f'open({marker!r}, "a").write("init-hook")'
    return {
        **{f"{name}.py": python for name in MODULES},
        "rules/evil.py": python,
        "rules/__init__.py": python,
        "eslint.config.mjs": f'{script}export default [{{ ignores: ["**"] }}];\n',
        "eslint.config.js": f"{common}module.exports = [];\n",
        "plugin.js": f"{common}module.exports = {{}};\n",
        "node_modules/eslint/package.json": '{"name": "eslint", "version": "10.0.0", "main": "i.js", "license": "MIT"}',
        "node_modules/eslint/i.js": common,
        ".eslintignore": "*\n",
        ".npmrc": "node-options=--require ./plugin.js\n",
        "biome.json": '{"linter": {"enabled": false}, "files": {"includes": ["!**"]}, "plugins": ["./plugin.grit"]}',
        "pylintrc": f"[MAIN]\ninit-hook={hook}\nload-plugins=rules.evil\nignore-paths=.*\ndisable=all\n",
        ".pylintrc": f"[MAIN]\ninit-hook={hook}\n",
        "setup.cfg": f"[pylint.main]\ninit-hook={hook}\n",
        "pyproject.toml": f"[tool.pylint.main]\ninit-hook = {json.dumps(hook)}\n[tool.ruff]\nexclude = ['*']\n"
        "[tool.pip-licenses]\nignore-packages = ['x']\n",
        ".cfnlintrc": "append_rules: [rules]\nignore_checks: [E, W]\n",
        ".cfnlintrc.yaml": "append_rules: [rules]\nignore_templates: ['**']\n",
        ".checkov.yaml": "external-checks-dir: [rules]\nskip-check: [CKV_AWS_20]\n",
        ".checkov.yml": "external-checks-dir: [rules]\nframework: [secrets]\n",
        "trivy.yaml": "severity: [LOW]\nexit-code: 0\nscan: {skip-dirs: ['**']}\n",
        ".trivyignore": "AWS-0092\nDS-0002\nAGPL-3.0-only\nAGPL-3.0\n",
        ".hadolint.yaml": "ignored: [DL3004]\n",
        ".terraformrc": 'provider_installation {\n  filesystem_mirror {\n    path = "rules"\n  }\n}\n',
        ".semgrepignore": "*\n",
        ".gitignore": "*.py\n*.ts\n*.tf\n*.java\n*.go\nDockerfile\n",
    }


def environment(job: Any) -> dict[str, str]:
    place = str(job.workspace)
    return {
        **dict.fromkeys(("PYTHONPATH", "NODE_PATH", "CLASSPATH", "CKV_EXTERNAL_CHECKS_DIR"), place),
        "PYTHONSTARTUP": f"{place}/re.py",
        "PYTHONHOME": place,
        "NODE_OPTIONS": f"--require {place}/plugin.js",
        "ESLINT_FLAGS": "x",
        "ESLINT_USE_FLAT_CONFIG": "false",
        "BIOME_CONFIG_PATH": place,
        "BIOME_BINARY": f"{place}/plugin.js",
        "RUFF_CONFIG": f"{place}/pyproject.toml",
        "RUFF_EXCLUDE": "*",
        "RUFF_NO_CACHE": "x",
        "PYLINTRC": f"{place}/pylintrc",
        "PYLINTHOME": place,
        "XDG_CONFIG_HOME": place,
        "HADOLINT_IGNORE": "DL3004",
        "HADOLINT_CONFIG": f"{place}/.hadolint.yaml",
        "CFNLINT_CONFIG": f"{place}/.cfnlintrc",
        "CKV_SKIP_CHECK": "CKV_AWS_20",
        "CHECKOV_CONFIG_FILE": f"{place}/.checkov.yaml",
        "CKV_IGNORED_DIRECTORIES": "infrastructure,code",
        "TRIVY_CONFIG": f"{place}/trivy.yaml",
        "TRIVY_SEVERITY": "LOW",
        "TRIVY_SKIP_DIRS": "**",
        "TRIVY_IGNOREFILE": f"{place}/.trivyignore",
        "TRIVY_IGNORED_LICENSES": "AGPL-3.0-only",
        "TF_CLI_CONFIG_FILE": f"{place}/.terraformrc",
        "TF_CLI_ARGS_validate": "-help",
        "TF_CLI_ARGS": "-version",
        "TF_DATA_DIR": place,
        "GOFLAGS": "-tags=nothing -toolexec=/bin/false",
        "GOENV": f"{place}/go.env",
        "JAVA_TOOL_OPTIONS": "-version",
        "JDK_JAVA_OPTIONS": "-version",
        "BASH_ENV": f"{place}/re.py",
        "GIT_DIR": "/nowhere",
        "GIT_CONFIG_PARAMETERS": "'core.fsmonitor=false'",
    }


# Whether it is a repository counts where git is asked what there is; what is packed is in none.
@pytest.mark.parametrize(
    ("row", "tracked"),
    [
        pytest.param(row, tracked, id="-".join((*row[:3], "tracked" if tracked else "no-repository")))
        for row in ROWS
        for tracked in (True, False)
        if (row[1] != LICENCES if tracked else row[2] != "cloudformation")
    ],
)
def test_nothing_of_the_repository_or_the_environment_steers_a_gate(
    job: Any, needs: Any, row: tuple[str, str, str, dict[str, str], str, str], tracked: bool
) -> None:
    tool, action, language, bad, rule, program = row
    needs(program)
    marker = job.root / "ran"
    files = hostile(str(marker)) | bad
    if action == LICENCES:
        with zipfile.ZipFile(job.workspace / "package.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    for name, content in files.items():
        job.write(name, content)
    if tracked:
        job.git("init", "--quiet")
        job.git("add", "--all", "--force")
        job.git("config", "core.fsmonitor", f"{job.workspace}/re.py")
    elif action != LICENCES:
        shutil.rmtree(job.workspace / "node_modules")
    # A step before may set these for the steps after it; the action's own Python is isolated, its bash is the runner's.
    before = dict(job.env)
    job.env |= {name: value for name, value in environment(job).items() if name != "BASH_ENV"}

    ran = job.use("check", action=action, tool=tool, language=language)

    job.env = before
    assert not marker.exists(), marker.read_text()
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    found = {one["rule"] for one in json.loads((job.evidence / f"{action}.findings.json").read_text())}
    assert rule in found, ran.out


@pytest.mark.parametrize("tool", ["trivy", "checkov"])
def test_what_lists_the_code_of_infrastructure_is_vendored_with_the_tool(tool: str) -> None:
    from dpra import pack

    there = pack.files(["check"], [tool], [], [])
    assert {"check/infrastructure.py", "check/files.py", "check/templates.py"} <= set(there)
