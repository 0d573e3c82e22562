"""Semgrep or its fork over the files of the languages: sast.py RULES PARSER ENGINE OPTION... prints lines for sarif.py.

What is to be looked at is copied into a folder of its own, by names that the engine knows: so there is one run and one
report, however many files there are, and no ignore file, no size, no ending and no folder's name hides one. What the
report does not tell of, or tells that it could not parse, is a finding.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent))
import files

# The endings by which the engines know a language.
KNOWN = {
    "python": (".py", ".pyi"),
    "node": (".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx"),
    "java": (".java",),
    "go": (".go",),
}
SEVERITIES = {"ERROR": "high", "CRITICAL": "critical", "HIGH": "high", "WARNING": "medium", "MEDIUM": "medium"}
UNPARSED = "it cannot be parsed, so it was not checked"


def unparsed(copy: Path, copies: dict[str, tuple[str, str]], parser: str) -> set[str]:
    """The copies that the languages' own parsers refuse. A runner has them."""

    def those(language: str, *endings: str) -> list[str]:
        return [name for name, (_, of) in copies.items() if of == language and name.endswith(endings or name[-1])]

    broken = {name for name in those("python") if not _python(copy / name)}
    if scripts := those("node", ".js", ".mjs", ".cjs"):
        said = _run(("node", "--no-warnings", "--experimental-vm-modules", parser), copy, "\0".join(scripts))
        if said.returncode:
            sys.exit(f"node cannot parse: {said.stderr.strip()[:500]}")
        broken |= set(filter(None, said.stdout.split("\0")))
    if those("go"):
        with_go = shutil.which("gofmt") or f"{_run(('go', 'env', 'GOROOT'), copy).stdout.strip()}/bin/gofmt"
        broken |= _named(_run((with_go, "-e", "-l", "."), copy), ".go", copies)
    if java := those("java"):
        (copy.parent / "java").write_text("\n".join(java), encoding="utf-8")
        told = ("-proc:none", "-implicit:none", "-Xmaxerrs", "100000", "-XDshould-stop.ifNoError=PARSE")
        nowhere = ("-d", str(copy.parent), "-sourcepath", str(copy.parent), "-classpath", str(copy.parent))
        broken |= _named(_run(("javac", *told, *nowhere, f"@{copy.parent / 'java'}"), copy), ".java", copies)
    return broken


def _python(path: Path) -> bool:
    try:
        ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _run(command: tuple[str, ...], copy: Path, said: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, cwd=copy, input=said, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as problem:
        sys.exit(f"{command[0]} cannot be run: {problem.strerror}")


def _named(ran: subprocess.CompletedProcess[str], ending: str, copies: dict[str, tuple[str, str]]) -> set[str]:
    """Which files a parser names at the start of a line, before the number of the line."""
    named = {line.split(f"{ending}:")[0] + ending for line in ran.stderr.splitlines() if f"{ending}:" in line}
    named &= set(copies)
    if ran.returncode and not named:
        sys.exit(f"the parser failed: {ran.stderr.strip()[:500]}")
    return named


def main() -> None:
    rules, parser, engine, *options = sys.argv[1:]
    warnings.simplefilter("ignore")  # of code that is only parsed
    target, private = Path(os.environ["TARGET"]), Path(os.environ["TMPDIR"])
    chosen = ["node" if name == "cdk" else name for name in os.environ.get("DPRA_LANGUAGE", "").split()]
    languages = [name for name in KNOWN if name in chosen] or list(KNOWN)
    copy, report = private / "files", private / "found.json"
    copy.mkdir()
    (copy / ".semgrepignore").write_text("", encoding="utf-8")  # else there is one by default, with tests/ and vendor/
    copies = files.copied(target, copy, {name: KNOWN[name] for name in languages})
    if not copies:
        sys.exit(f"There is no file of {' '.join(chosen) or 'any language'} to check.")
    broken = dict.fromkeys(sorted(unparsed(copy, copies, parser)), UNPARSED)

    own = target / "policies" / "semgrep"
    configured = ["--config", rules, *(["--config", str(own)] if own.is_dir() else [])]
    environment = {**os.environ, "SEMGREP_SEND_METRICS": "off", "SEMGREP_ENABLE_VERSION_CHECK": "0"}
    environment |= {"SEMGREP_SETTINGS_FILE": f"{private}/settings.yml", "SEMGREP_LOG_FILE": f"{private}/semgrep.log"}
    ran = subprocess.run(
        (
            *(engine, "scan", *configured, *options, "--disable-version-check", "--disable-nosem", "--no-git-ignore"),
            *("--max-target-bytes", "0", "--timeout", "60", "--quiet", "--strict", "--json"),
            *("--output", str(report), "."),
        ),
        cwd=copy,
        env=environment,
        stdout=sys.stderr,
        check=False,
    )
    if ran.returncode > 3 or not report.is_file():
        sys.exit(f"{engine} failed with exit code {ran.returncode}")
    said = json.loads(report.read_bytes())

    def line(rule: str, severity: str, text: str, name: str, number: int = 1) -> None:
        file = copies[name][0] if name in copies else ""
        found: dict[str, Any] = {"rule": rule, "severity": severity, "text": text, "file": file, "line": number}
        print(json.dumps(found))

    for one in said["results"]:
        extra, rule = one["extra"], one["check_id"].rsplit(".", 1)[-1]
        severity = SEVERITIES.get(extra["severity"], "low")
        line(rule, severity, extra["message"], one["path"].removeprefix("./"), one["start"]["line"])
    for error in said["errors"]:
        name = str(error.get("path") or "").removeprefix("./")
        if name not in copies:
            sys.exit(f"{engine}: {str(error.get('message'))[:500]}")
        broken.setdefault(name, f"{UNPARSED} whole: {str(error.get('type'))[:60]}")
    for name, text in broken.items():
        line("not-parsed", "high", text, name)
    seen = {name.removeprefix("./") for name in said["paths"]["scanned"]}
    for name in sorted(set(copies) - seen - set(broken)):
        line("not-checked", "high", f"{engine} did not look at it", name)
    print(f"{len(seen & set(copies))} of {len(copies)} files were looked at", file=sys.stderr)


main()
