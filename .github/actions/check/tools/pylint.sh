#!/usr/bin/env bash
# Python code: pylint's errors and warnings. Conventions are low.
# serves code-quality: python
# version: 4.1.4
# version-command: pylint --version
# ok-exit-codes: 0
# pip: pylint==4.1.4
#
# pylint's configuration is code (init-hook, load-plugins): it gets an empty one. Of the project's own, pyproject.toml,
# pylintrc, .pylintrc, setup.cfg or tox.ini at the root, only the list `disable` is taken, as text, and only for what is no
# error. It looks at copies in which `pylint:` is no comment that it knows, and must say of each that it read it. Modules
# of the repository are on its sys.path while it reads them: an audit hook ends it should it ever run one.
#
# It reads besides: configurations of a user and of the working directory (--rcfile), PYLINTRC, PYLINTHOME, PYTHON* (not
# passed). Stubs (*.pyi) are not looked at.
set -euo pipefail
python3 -I -B "$CHECK/files.py" python > "$TMPDIR/listed"
python3 -I -B - "$TMPDIR/listed" "$TMPDIR/files" <<'PYTHON' | python3 -I -B "$CHECK/sarif.py" pylint "$TMPDIR/files"
import configparser, json, os, re, subprocess, sys, tomllib
from pathlib import Path

target, private = Path(os.environ["TARGET"]), Path(os.environ["TMPDIR"])
listed = [name for name in Path(sys.argv[1]).read_bytes().split(b"\0") if name and not name.lower().endswith(b".pyi")]
Path(sys.argv[2]).write_bytes(b"".join(name + b"\0" for name in listed))
BATCH = 1000  # files in one process
HOOK = """
import sys
def audit(event, given, folder={code!r}):
    if event == "exec" and getattr(given[0], "co_filename", "").startswith(folder):
        raise SystemExit("pylint would have run " + given[0].co_filename)
sys.addaudithook(audit)
sys.path.append({plugin!r})
"""
PLUGIN = """
from pylint.checkers import BaseRawFileChecker
class Looked(BaseRawFileChecker):
    name = "dpra-looked"
    msgs = {"W9901": ("read", "dpra-looked", "Said of each file that was read.")}
    def process_module(self, node):
        self.add_message("dpra-looked", line=1)
def register(linter):
    linter.register_checker(Looked(linter))
"""


def disabled():
    """What the project's configuration disables, as text."""
    found = []
    try:
        tables = [tomllib.loads((target / "pyproject.toml").read_text(encoding="utf-8")).get("tool", {}).get("pylint", {})]
        while tables:
            for key, value in tables.pop().items():
                if isinstance(value, dict):
                    tables.append(value)
                elif key == "disable":
                    found += value if isinstance(value, list) else str(value).split(",")
    except (OSError, ValueError, AttributeError):
        pass
    for name in ("pylintrc", ".pylintrc", "setup.cfg", "tox.ini"):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read(target / name, encoding="utf-8")
        except (configparser.Error, ValueError, OSError):
            continue
        for section in parser.sections():
            if name.endswith("pylintrc") or section.startswith("pylint"):
                found += re.split(r"[,\s]+", parser[section].get("disable", ""))
    return {str(one).strip() for one in found} - {"all", ""}


code, plugin = private / "code", private / "plugin"
plugin.mkdir()
(plugin / "dpra_looked.py").write_text(PLUGIN, encoding="utf-8")
(private / "pylintrc").write_text("[MAIN]\n", encoding="utf-8")
places = {}
for number, raw in enumerate(listed):
    name = os.fsdecode(raw)
    copy = code / name
    if copy.suffix != ".py" or re.search(r"[\n\r]", name):
        copy = (code / str(number) / "script.py") if re.search(r"[\n\r]", name) else copy.with_name(f"{copy.name}.{number}.py")
    try:
        content = (target / name).read_bytes()
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(re.sub(rb"(#.*?)pylint\s*:", rb"\1pylint ", content))
    except OSError:
        continue  # not-checked, then
    places[str(copy)] = name
words = ["pylint", "--rcfile", str(private / "pylintrc"), "--init-hook", HOOK.format(code=str(code), plugin=str(plugin))]
words += ["--load-plugins", "dpra_looked", "--persistent", "n", "--ignore", "", "--ignore-patterns", ""]
words += ["--disable", "import-error", "--output-format", "json2"]  # what it imports is not there
severities = {"fatal": "high", "error": "high", "warning": "medium"}
chosen, copies = disabled(), sorted(places)
for start in range(0, len(copies), BATCH):
    ran = subprocess.run([*words, "--", *copies[start : start + BATCH]], stdout=subprocess.PIPE)
    # Bits: 1 fatal, 2 error, 4 warning, 8 refactor, 16 convention, 32 wrong use. Fatal and wrong use mean it did not look.
    if ran.returncode < 0 or ran.returncode & 33:
        sys.exit(f"pylint failed with exit code {ran.returncode}")
    for one in json.loads(ran.stdout)["messages"]:
        name = places.get(one["absolutePath"]) or places.get(one["path"])
        severity = severities.get(one["type"], "low")
        if one["messageId"] in ("E0001", "W9901"):  # it cannot be parsed; it was read
            print(json.dumps({"looked": name or ""}))
        if name is None or one["messageId"] == "W9901":
            continue
        if severity != "high" and {one["symbol"], one["messageId"]} & chosen:
            continue
        print(json.dumps({"rule": one["symbol"], "severity": severity, "text": one["message"], "file": name,
                          "line": one["line"]}))
PYTHON
