#!/usr/bin/env bash
# JavaScript and TypeScript, JSX too: Biome's recommended lint rules.
# serves code-quality: node cdk
# version: 2.5.0
# version-command: biome --version
# ok-exit-codes: 0
# npm: @biomejs/biome@2.5.0
#
# It looks at copies that lie beside no configuration: neither biome.json, in any folder, nor its plugins, node_modules or
# .gitignore say what is looked at and for what; in the copies `biome-ignore` is no comment that Biome knows. It must count
# every one of them. A project that wants more runs Biome as a step of its own, beside this gate.
#
# It reads besides: biome.json above the files and in a user's folders (--config-path names our own), BIOME_* (not passed).
set -euo pipefail
python3 -I -B "$CHECK/files.py" node > "$TMPDIR/files"
python3 -I -B - "$TMPDIR/files" <<'PYTHON' | python3 -I -B "$CHECK/sarif.py" biome "$TMPDIR/files"
import json, os, re, subprocess, sys
from pathlib import Path

target, private = Path(os.environ["TARGET"]), Path(os.environ["TMPDIR"])
names = [os.fsdecode(name) for name in Path(sys.argv[1]).read_bytes().split(b"\0") if name]
(private / "configuration").mkdir()
rules = {"recommended": True}
(private / "configuration" / "biome.json").write_text(
    json.dumps({"root": True, "vcs": {"enabled": False}, "files": {"maxSize": 1 << 31}, "linter": {"rules": rules}})
)
ENDINGS = (".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx")
severities = {"fatal": "high", "error": "high", "warning": "medium"}


def lint(place):
    """How many files Biome looked at, and its diagnostics."""
    words = ["biome", "lint", "--config-path", str(private / "configuration"), "--reporter=json"]
    words += ["--max-diagnostics=none", "--colors=off", str(place)]
    ran = subprocess.run(words, stdout=subprocess.PIPE)
    try:
        said = json.loads(ran.stdout)
    except ValueError:
        return 0, []
    if ran.returncode not in (0, 1) or said["summary"]["diagnosticsNotPrinted"]:
        sys.exit(f"biome failed with exit code {ran.returncode}")
    return said["summary"]["changed"] + said["summary"]["unchanged"], said["diagnostics"]


def lay(folder, chosen):
    """Copies of the files; the name of each by the folder of its copy."""
    for number, (name, ending) in chosen.items():
        copy = folder / str(number)
        copy.mkdir(parents=True)
        stem = re.sub(r"[^\w.-]", "_", Path(name).name.removesuffix(Path(name).suffix if ending else ""), flags=re.ASCII)
        try:
            content = (target / name).read_bytes().replace(b"biome-ignore", b"biome_ignore")
        except OSError:
            continue  # not counted, then
        (copy / f"{stem or 'file'}{ending or '.js'}").write_bytes(content)


def judge(folder, chosen):
    """Findings; what was looked at; JavaScript that cannot be parsed."""
    lay(folder, chosen)
    count, found = lint(folder)
    looked = set(chosen)
    if count != len(chosen):  # which?
        looked = {number for number in chosen if lint(folder / str(number))[0] == 1}
    by_number = {number: [] for number in chosen}
    for one in found:
        part = re.match(re.escape(f"{folder}/") + r"(\d+)/", one["location"]["path"] or "")
        if not part:
            sys.exit(f"biome: {one['message']}")
        by_number[int(part[1])].append(one)
    broken = {number for number in looked if any(one["category"] == "parse" for one in by_number[number])}
    return by_number, looked, broken


chosen = {}
for number, name in enumerate(names):
    ending = Path(name).suffix.lower()
    chosen[number] = (name, ending if ending in ENDINGS else "")
found, looked, broken = judge(private / "modules", chosen) if chosen else ({}, set(), set())
scripts = {number: (names[number], ".cjs") for number in broken if chosen[number][1] in ("", ".js")}
if scripts:  # they may be scripts of CommonJS
    again, seen, still = judge(private / "scripts", scripts)
    found |= {number: again[number] for number in seen - still}
for number in sorted(looked):
    print(json.dumps({"looked": names[number]}))
    for one in found[number]:
        rule = "not-parsed" if one["category"] == "parse" else one["category"]
        line = (one["location"].get("start") or {}).get("line", 1)
        print(json.dumps({"rule": rule, "severity": severities.get(one["severity"], "low"), "text": one["message"],
                          "file": names[number], "line": line}))
PYTHON
