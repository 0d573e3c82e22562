"""semgrep.py RULES ENGINE OPTION...: semgrep or its fork over the languages' files; findings as sarif.py takes them.

It looks at a copy of the files in a folder of their own, in one run: neither an ignore file nor git hides one, a name
without its language's ending gets one, and its report is compared with what was to be looked at. What it cannot parse
it passes over and says nothing: so the languages' own parsers look first. Runners have them.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import files

TARGET, TMPDIR = (Path(os.environ[name]) for name in ("TARGET", "TMPDIR"))
RULES, ENGINE, *OPTIONS = sys.argv[1:]
LANGUAGES = ("python", "node", "java", "go")
SEVERITIES = {"ERROR": "high", "CRITICAL": "critical", "HIGH": "high", "WARNING": "medium", "MEDIUM": "medium"}
# Scripts and modules as node parses them; nothing of them is run.
NODE = """
const { readFileSync } = require("fs"), vm = require("vm");
for (const name of readFileSync(0, "utf8").split("\\0").filter(Boolean)) {
  const text = readFileSync(name, "utf8").replace(/^\\uFEFF?#!.*/, "");
  const ways = [() => vm.compileFunction(text, ["exports", "require", "module", "__filename", "__dirname"]),
                () => new vm.SourceTextModule(text)];
  const parses = (way) => { try { way(); return true; } catch { return false; } };
  if (!ways.some(parses)) process.stdout.write(name + "\\0");
}
"""


def unparsed(folder: Path, found: dict[str, tuple[str, str]]) -> Iterator[str]:
    """The copies that their language's own parser refuses."""
    by_language: dict[str, list[str]] = {}
    for path, (_, language) in found.items():
        by_language.setdefault(language, []).append(path)
    for path in by_language.get("python", ()):
        try:
            ast.parse((folder / path).read_bytes())
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            yield path
    if scripts := [path for path in by_language.get("node", ()) if path.endswith((".js", ".mjs", ".cjs"))]:
        said = _ran(["node", "--no-warnings", "--experimental-vm-modules", "-e", NODE], folder, "\0".join(scripts))
        yield from (path for path in said.split("\0") if path)
    if paths := by_language.get("java"):
        (TMPDIR / "sources").write_text("".join(f'"{_escaped(path)}"\n' for path in paths), encoding="utf-8")
        words = ["javac", "-proc:none", "-XDshould-stop.ifNoError=PARSE", "-Xmaxerrs", "0", "-d", str(TMPDIR)]
        yield from _named(_ran([*words, f"@{TMPDIR / 'sources'}"], folder, ok=(0, 1)), ": error:", paths)
    if paths := by_language.get("go"):
        gofmt = shutil.which("gofmt") or f"{_ran(['go', 'env', 'GOROOT'], folder).strip()}/bin/gofmt"
        for start in range(0, len(paths), 500):
            some = paths[start : start + 500]
            yield from _named(_ran([gofmt, "-e", "-l", *(f"./{path}" for path in some)], folder, ok=(0, 2)), ":", some)


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace('"', '\\"')


def _named(said: str, behind: str, paths: Iterable[str]) -> Iterator[str]:
    """The files that a parser names at the start of a line: `path:12: error:`, `path:12:3:`."""
    names = {line.rpartition(behind)[0] if behind == ":" else line.partition(behind)[0] for line in said.splitlines()}
    starts = {name.removeprefix("./") for name in names}
    yield from (path for path in paths if any(name == path or name.startswith(f"{path}:") for name in starts))


def _ran(words: list[str], folder: Path, given: str = "", ok: tuple[int, ...] = (0,)) -> str:
    try:
        ran = subprocess.run(
            words, cwd=folder, input=given, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as problem:
        sys.exit(f"{words[0]} cannot be run ({problem.strerror}): it parses before {ENGINE} looks")
    if ran.returncode not in ok:
        sys.exit(f"{words[0]} failed with exit code {ran.returncode}: {ran.stderr[-500:]}")
    return ran.stdout + (ran.stderr if len(ok) > 1 else "")


def scanned(folder: Path) -> dict[str, Any]:
    """The engine's report on all that lies in the folder."""
    (folder / ".semgrepignore").touch()  # else it leaves out tests, vendor and more
    rules = [Path(RULES), TARGET / "policies" / "semgrep"]  # the repository's own only add
    command = [ENGINE, "scan", *(word for rule in rules if rule.is_dir() for word in ("--config", str(rule)))]
    command += [
        *OPTIONS,
        "--disable-version-check",
        "--disable-nosem",
        "--no-git-ignore",
        "--max-target-bytes",
        "0",
    ]
    command += ["--timeout", "60", "--timeout-threshold", "0", "--quiet", "--strict", "--json", "--output"]
    steered = {"SEMGREP_SEND_METRICS": "off", "SEMGREP_ENABLE_VERSION_CHECK": "0"}
    steered |= {"SEMGREP_SETTINGS_FILE": f"{TMPDIR}/settings.yml", "SEMGREP_LOG_FILE": f"{TMPDIR}/semgrep.log"}
    report = TMPDIR / "found.json"
    code = subprocess.run(
        [*command, str(report), "."], cwd=folder, env={**os.environ, **steered}, check=False
    ).returncode
    if code not in (0, 1, 2, 3) or not report.is_file():
        sys.exit(f"{ENGINE} failed with exit code {code}")
    found: dict[str, Any] = json.loads(report.read_bytes())
    return found


def main() -> None:
    asked = {"cdk": "node"}
    languages = dict.fromkeys(asked.get(one, one) for one in os.environ["DPRA_LANGUAGE"].split())
    languages = dict.fromkeys(one for one in languages or LANGUAGES if one in LANGUAGES)
    folder = TMPDIR / "files"
    found = files.copy(TARGET, languages, folder)
    if not found:
        sys.exit(f"There is no file of {' or '.join(languages) or 'any language'} to check.")
    broken = set(unparsed(folder, found))
    said = scanned(folder)
    for one in said["results"]:
        extra = one["extra"]
        rule, severity = one["check_id"].rsplit(".", 1)[-1], SEVERITIES.get(extra["severity"], "low")
        _say(rule, severity, extra["message"], _own(found, one["path"]), one["start"]["line"])
    unread = {_own(found, str(one.get("path") or "")): str(one.get("message"))[:300] for one in said["errors"]}
    for path in broken:
        unread.setdefault(found[path][0], "it cannot be parsed, so it was not checked")
    for file, text in unread.items():
        _say("not-parsed", "high", text, file)
    seen = {_own(found, path) for path in said["paths"]["scanned"]} | set(unread)
    for file in sorted({file for file, _ in found.values()} - seen):
        _say("not-checked", "high", f"{ENGINE} did not look at it", file)


def _own(found: dict[str, tuple[str, str]], path: str) -> str:
    path = path.removeprefix("./")
    return found.get(path, (path, ""))[0]


def _say(rule: str, severity: str, text: str, file: str, line: int = 1) -> None:
    print(json.dumps({"rule": rule, "severity": severity, "text": text, "file": file, "line": line}))


main()
