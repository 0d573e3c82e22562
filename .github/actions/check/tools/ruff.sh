#!/usr/bin/env bash
# Python code: ruff's lint rules, as the project's own configuration chooses them, and its format.
# default for code-quality: python
# version: 0.17.6
# version-command: ruff --version
# hook: \.py$
# ok-exit-codes: 0
# pip: ruff==0.17.6
#
# Two passes over every Python file. The first asks nobody: real errors (E9, F63, F7, F82: what cannot be parsed, what
# compares or formats wrongly, names that are nowhere) whatever a comment or a configuration says. The second is the
# project's own: pyproject.toml, ruff.toml and .ruff.toml beside a file or above it, and its comments, choose what is
# found besides, as they always did. They cannot choose to look at nothing: a file that they exclude, a file all of whose
# rules a pattern or `# ruff: noqa` switches off, is not-checked, and a configuration without any rule is a finding.
#
# It reads besides: a user's configuration (HOME is empty, XDG_CONFIG_HOME not passed), RUFF_* (not passed), .gitignore
# (files are given by name). Its configuration is data: nothing in it runs.
set -euo pipefail
python3 -I -B "$CHECK/files.py" python > "$TMPDIR/files"
python3 -I -B - "$TMPDIR/files" <<'PYTHON' | python3 -I -B "$CHECK/sarif.py" ruff "$TMPDIR/files"
import fnmatch, json, os, re, subprocess, sys

target, batch = os.environ["TARGET"], 500  # names in one command
names = [os.path.join(target, os.fsdecode(name)) for name in open(sys.argv[1], "rb").read().split(b"\0") if name]
ERRORS, SYNTAX = "E9,F63,F7,F82", "invalid-syntax"


def ruff(command, options, files, codes=(0, 1)):
    """What ruff says about the files, a batch at a time."""
    for start in range(0, len(files), batch):
        words = ["ruff", command, "--no-cache", *options, "--", *files[start : start + batch]]
        ran = subprocess.run(words, stdout=subprocess.PIPE)
        if ran.returncode not in codes:
            sys.exit(f"ruff {command} failed with exit code {ran.returncode}")
        yield os.fsdecode(ran.stdout)


def linted(options, files):
    for said in ruff("check", ["--output-format", "json-lines", *options], files):
        yield from (json.loads(line) for line in said.splitlines() if line)


def shown(options, files):
    return {line for said in ruff("check", ["--show-files", *options], files, (0,)) for line in said.splitlines()}


def say(rule, severity, text, file, line=1):
    print(json.dumps({"rule": rule, "severity": severity, "text": text, "file": file, "line": line}))


def hide(file, why):
    hidden.add(file)
    say("not-checked", "high", f"{why}, so ruff did not check it: waive not-checked with this path in dpra.yml", file)


def block(settings, name):
    found = re.search(rf"^{re.escape(name)} = \[\n(.*?)^\]", settings, re.MULTILINE | re.DOTALL)
    return {line.strip().rstrip(",") for line in found[1].splitlines()} if found else set()


hidden, seen = set(), set()
for name in names:
    if re.search(r"[\n\r]", name):
        hide(name, "its name has a line break")
files = [name for name in names if name not in hidden]
# Real errors; blanket comments.
for one in linted(["--isolated", "--ignore-noqa", "--target-version", "py315", "--select", f"{ERRORS},PGH004"], files):
    file, code, line = one["filename"], one["code"] or SYNTAX, one["location"]["row"]
    if code != "PGH004":
        seen.add((file, code, line))
        say(code, "high", one["message"], file, line)
    elif "`ruff: noqa`" in one["message"] or "flake8: noqa" in one["message"]:
        if file not in hidden:
            hide(file, "a comment switches off every rule for the file")
looked = shown(["--isolated", "--no-force-exclude"], files)
# What the project's configuration excludes, beyond what ruff always passes over (build, dist, venv): that is looked at.
usual = set(files) - shown(["--isolated", "--force-exclude"], files)
for file in sorted(set(files) - shown(["--force-exclude"], files) - usual - hidden):
    hide(file, "the project's configuration excludes it")
# Each configuration, asked of a file in each folder.
folders = {os.path.dirname(file): file for file in reversed(files)}
configured = ("pyproject.toml", "ruff.toml", ".ruff.toml")
chosen = {}
for folder, file in sorted(folders.items()):
    place = folder
    while not any(os.path.isfile(os.path.join(place, one)) for one in configured) and len(place) > len(target):
        place = os.path.dirname(place)
    if place not in chosen:
        settings = chosen[place] = next(ruff("check", ["--no-force-exclude", "--show-settings"], [file], (0,)))
        if "linter.rules.enabled = [" not in settings:
            sys.exit("ruff does not say its settings")
    settings = chosen[place]
    rules = block(settings, "linter.rules.enabled") - {""}
    for found in re.finditer(r'absolute_matcher = "(.*)"\nbasename_matcher = "(.*)"\nnegated = (\w+)\ndata = \[\n(.*?)^\]',
                             settings, re.MULTILINE | re.DOTALL):
        absolute, base, negated = found[1], found[2], found[3] == "true"
        if rules - {line.strip().rstrip(",") for line in found[4].splitlines()}:
            continue
        for one in files:
            if os.path.dirname(one) == folder and one not in hidden:
                fits = fnmatch.fnmatchcase(os.path.basename(one), base) or fnmatch.fnmatchcase(one, absolute)
                if fits != negated:
                    hide(one, "the project's configuration ignores every rule in it")
    if not rules:
        for one in files:
            if os.path.dirname(one) == folder and one not in hidden:
                hide(one, "the project's configuration has no rule")
rest = [file for file in files if file not in hidden]
for one in linted(["--no-force-exclude", "--no-fix"], rest):
    file, code, line = one["filename"], one["code"] or SYNTAX, one["location"]["row"]
    if (file, code, line) not in seen:
        say(code, "high", one["message"], file, line)
for said in ruff("format", ["--no-force-exclude", "--check", "--quiet", "--output-format", "json", "--preview"], rest,
                 (0, 1, 2)):
    for one in json.loads(said or "[]"):
        if one.get("name") == "unformatted" or one.get("code") in (None, "unformatted"):
            say("unformatted", "low", "not formatted: run ruff format", one["filename"])
for file in looked & set(files):
    print(json.dumps({"looked": file}))
PYTHON
