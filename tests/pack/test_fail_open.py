"""Tools that pass though they did not look, or failed: the gate blocks all the same.

The first test replaces each tool by one that says its version, does nothing and exits 0. The others are what was seen
of the real tools; more of bandit, gitleaks and pip-audit is in their own files."""

import shlex
from typing import Any

import pytest
from dpra import check_tools

FILES = {
    "a.py": "x = 1\n",
    "a.mjs": "export const x = 1;\n",
    "A.java": "class A {}\n",
    "a.go": "package main\n",
    "go.mod": "module shop\n\ngo 1.21\n",
    "m.tf": 'variable "x" {}\n',
    "Dockerfile": "FROM scratch\n",
    "requirements.txt": "six==1.17.0\n",
    "package-lock.json": "{}",
    "infrastructure/template.yml": "Resources: {}\n",
}
INJECTION = "def f(c, n):\n    return c.execute(\"SELECT * FROM t WHERE n = '%s'\" % n)  # nosec # nosemgrep\n"
# Not found on PATH, but installed with what comes along: there is no liar to put in their place. `project` is sh,
# `components`, `configuration`, `fleet`, `hardening`, `inspector`, `packer-template` and `policy-tests` are Python.
WITHIN = (
    *("cfn-guard", "components", "configuration", "eslint", "fleet", "hardening", "inspector", "packer-template"),
    *("policy-tests", "project"),
)
LANGUAGE = {"sast": "node go java", "policy-as-code": "cloudformation"}


def liar(job: Any, command: str, version: str) -> None:
    program, *arguments = shlex.split(command)
    path = job.root / "bin" / program
    said = shlex.quote(" ".join(arguments))
    path.write_text(f'#!/bin/sh\n[ "$*" != {said} ] || echo {program} {version}\nexit 0\n')
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("tool", "action"),
    [(tool, action) for tool in check_tools.every() if tool.name not in WITHIN for action in tool.serves],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_a_tool_that_does_nothing_and_exits_0_is_an_error(job: Any, tool: Any, action: str) -> None:
    for name, content in FILES.items():
        job.write(name, content)
    job.git("init", "--quiet")
    job.git("commit", "--quiet", "--allow-empty", "--message", "Begin")
    liar(job, tool.head["version-command"], tool.head["version"])

    ran = job.use("check", action=action, tool=tool.name, language=LANGUAGE.get(action, "python"))

    assert (ran.code, ran.record["result"]) == (1, "error"), ran.out


@pytest.mark.parametrize("tool", ["checkov", "trivy", "cfn-guard"])
def test_a_template_that_cannot_be_parsed_is_an_error(job: Any, tool: str) -> None:
    """checkov and trivy themselves exit 0."""
    job.write("infrastructure/template.yml", "Resources: [\n")
    ran = job.use("check", action="policy-as-code", tool=tool, language="cloudformation")
    assert (ran.code, ran.record["result"]) == (1, "error"), ran.out


UNPARSED = {
    "a.mjs": "function ( {\n",
    "a.go": "package main\n\nfunc f( {}\n",
    "A.java": "class A { int f( { return 1; } }\n",
    "a.py": "def f(:\n",
}


def test_code_that_semgrep_cannot_parse_is_a_finding(job: Any, needs: Any) -> None:
    """semgrep itself exits 0 and says nothing."""
    needs("javac", "go", "node")
    parsed = {"b.mjs": "", "b.go": "package main\n", "b.java": "class B {}\n", "b.py": ""}
    for name, content in {**UNPARSED, **parsed}.items():
        job.write(name, content)
    ran = job.use("check", action="sast", tool="semgrep", language="node go java python")
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    assert len(ran.errors) == len(UNPARSED)
    for name in UNPARSED:
        assert any(f"file={name}," in error and "not-parsed" in error for error in ran.errors), name


def test_a_database_of_vulnerabilities_that_cannot_be_had_is_an_error(job: Any) -> None:
    job.write("requirements.txt", "requests==2.19.1\n")
    job.env |= {"TRIVY_CACHE_DIR": str(job.root / "trivy"), "HTTPS_PROXY": "http://127.0.0.1:9"}
    job.env["TRIVY_SKIP_DB_UPDATE"] = "false"
    ran = job.use("check", action="sca", language="python")
    assert (ran.code, ran.record["result"]) == (1, "error")


@pytest.mark.parametrize("tool", ["bandit", "semgrep"])
def test_nosec_and_nosemgrep_let_nothing_through(job: Any, tool: str) -> None:
    job.write("a.py", INJECTION)
    ran = job.use("check", action="sast", tool=tool, language="python")
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out


SECRETLY = {
    "binary": b"\0\0# hide:this\n",
    "latin1": b"# \xe4 hide:this\n",
    "crlf": b"x\r\n# hide:this\r\n",
    "node_modules/x": b"# hide:this",
    ".github/x.yml": b"# hide:this",
    "ignored.tf": b"# hide:this",
    "a b\nc.tf": b"# hide:this\n",
    "second": b"other:word\n",
    "built/out.json": b"hide:this",
}


@pytest.mark.parametrize("name", [*SECRETLY, "nothing"])
def test_a_suppression_is_found_in_whatever_the_tool_may_read(job: Any, name: str) -> None:
    job.own_pack()
    (job.pack / "check" / "tools" / "hider.sh").write_text(
        "# serves tries: any\n# version: 1.0\n# version-command: sh -c 'echo 1.0' --version\n# ok-exit-codes: 0\n"
        "# suppressed in tries: hide:this other:word\n"
        'echo \'{"runs": [{"tool": {"driver": {"name": "t"}}, "results": []}]}\' > "$SARIF"\n'
    )
    job.git("init", "--quiet")
    path = job.workspace / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(SECRETLY.get(name, b"hide: this\n"))
    if not name.startswith("built"):
        job.git("add", "--force", ".")
    job.write(".gitignore", "node_modules/\n.github/\nignored.tf\nbuilt/\n")
    job.write(".gitattributes", "* binary\n")
    (job.workspace / "link.tf").symlink_to("nothing")
    ran = job.use("check", action="tries", tool="hider", file="built" if name.startswith("built") else "")
    assert (ran.code, len(ran.errors)) == ((0, 0) if name == "nothing" else (1, 1)), ran.out
    if name != "nothing":
        assert "inline-suppression" in ran.errors[0]
