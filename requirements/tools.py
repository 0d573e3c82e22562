"""make tools: the locks of the pack's tools, made anew from the heads of .github/actions/check/tools/*.sh.

The head of a tool says its version and where it comes from; what PyPI or npm give for that is locked here, by hash,
with all that it needs. `--upgrade` first raises the versions of PyPI's and npm's tools to the newest; an archive's
version and its sums are raised by hand, since a sum needs two independent witnesses (docs/tools.md).
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

CHECK = Path(__file__).parents[1] / ".github" / "actions" / "check"
UV = str(Path(sys.executable).with_name("uv"))


def newest(kind: str, name: str) -> str:
    """The newest version of a distribution or package."""
    if kind == "npm":
        return subprocess.run(
            ["npm", "view", name, "version"], capture_output=True, text=True, check=True
        ).stdout.strip()
    words = [UV, "pip", "compile", "--quiet", "--no-header", "--python-version", "3.11", "--no-deps", "-"]
    ran = subprocess.run(words, input=name, capture_output=True, text=True, check=True)
    return re.findall(r"==(\S+)", ran.stdout)[0]


def upgrade(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    for kind, wanted in re.findall(r"^# (pip|npm): (.+)$", text, re.MULTILINE):
        for word in wanted.split():
            name, separator, old = re.split(r"(==|(?<=.)@(?=\d))", word)
            new = newest(kind, name)
            text = text.replace(word, f"{name}{separator}{new}")
            text = text.replace(f"# version: {old}\n", f"# version: {new}\n")
    script.write_text(text, encoding="utf-8")


def lock(script: Path) -> None:
    head = dict(re.findall(r"^# (pip|npm|npm-overrides): (.+)$", script.read_text(encoding="utf-8"), re.MULTILINE))
    if "pip" in head and "--hash" not in head["pip"]:
        # `universal`: runners are x64 and arm64, and developers have Macs.
        words = [UV, "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"]
        words += ["--no-header", "--no-annotate", "--no-emit-index-url", "--upgrade", "-", "--output-file"]
        target = CHECK / "locks" / f"{script.stem}.txt"
        subprocess.run(
            [*words, str(target)],
            input="\n".join(head["pip"].split()),
            text=True,
            stdout=subprocess.DEVNULL,
            check=True,
        )
    elif "npm" in head:
        folder = CHECK / "locks" / script.stem
        folder.mkdir(exist_ok=True)
        packages = dict(word.rsplit("@", 1) for word in head["npm"].split())
        content = {"private": True, "dependencies": packages}
        if "npm-overrides" in head:  # for what asks for a tag: that moves, and the lock would not fit any more
            content["overrides"] = dict(word.rsplit("@", 1) for word in head["npm-overrides"].split())
        (folder / "package.json").write_text(json.dumps(content, indent=2) + "\n")
        with tempfile.TemporaryDirectory() as cache:
            words = ["npm", "install", "--package-lock-only", "--legacy-peer-deps", "--no-audit", "--no-fund"]
            subprocess.run([*words, "--cache", cache], cwd=folder, stdout=subprocess.DEVNULL, check=True)


def main() -> None:
    for script in sorted((CHECK / "tools").glob("*.sh")):
        if "--upgrade" in sys.argv:
            upgrade(script)
        lock(script)
        print(script.stem, flush=True)


main()
