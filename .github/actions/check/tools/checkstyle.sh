#!/usr/bin/env bash
# Java code: Checkstyle, by a few rules of dpra, and by the project's own config/checkstyle/checkstyle.xml besides.
# default for code-quality: java
# version: 10.21.0
# oldest: 8.36.1
# version-command: checkstyle --version
# hook: \.java$
# environment: JAVA_HOME
# ok-exit-codes: 0
# source any: https://github.com/checkstyle/checkstyle/releases/download/checkstyle-10.21.0/checkstyle-10.21.0-all.jar sha256: 911fee0b8a8495f0d8a168815e91bb8abb3f497c96a46d8b78e433a516bc88e7
#
# The project's configuration adds, it takes nothing away: the rules of dpra know no filter, so neither suppressions nor
# comments nor @SuppressWarnings take effect on them. Each file must be in their report.
#
# It reads besides: what the project's configuration names, in the repository (no external DTD or entity is loaded:
# Checkstyle's own default, said again here), JAVA_TOOL_OPTIONS, JDK_JAVA_OPTIONS, CLASSPATH (not passed). A class that a
# configuration names must be Checkstyle's own: nothing of the repository is on the classpath.
set -euo pipefail
python3 -I -B "$CHECK/files.py" java > "$TMPDIR/files"
checkstyle=(checkstyle)
options=(-Dcheckstyle.enableExternalDtdLoad=false)
[[ -z ${TOOL_HOME:-} ]] || checkstyle=(java "${options[@]}" -jar "$TOOL_HOME/bin/checkstyle")
python3 -I -B - "$TMPDIR/files" "$CHECK/rules/checkstyle.xml" "${checkstyle[@]}" <<'PYTHON' | python3 -I -B "$CHECK/sarif.py" checkstyle "$TMPDIR/files"
import json, os, subprocess, sys
import xml.etree.ElementTree as ElementTree

listed, rules, *program = sys.argv[1:]
target, private = os.environ["TARGET"], os.environ["TMPDIR"]
files = [os.path.join(target, os.fsdecode(name)) for name in open(listed, "rb").read().split(b"\0") if name]
severities = {"error": "high", "warning": "medium"}
said = set()


def report(config, folder, some):
    # Its exit code is the number of errors; what it found is in the XML, and what it could not parse, too.
    written = os.path.join(private, "found.xml")
    if os.path.exists(written):
        os.unlink(written)
    subprocess.run([*program, "-c", config, "-f", "xml", "-o", written, *some], cwd=folder, stdout=sys.stderr)
    for file in ElementTree.parse(written).getroot().iter("file"):  # no report: it did not run
        name = file.get("name")
        if config == rules and name.endswith(".java"):  # else it lists the file and asks no rule
            yield {"looked": name}
        for one in file.findall("error"):
            rule = one.get("source").rsplit(".", 1)[-1]
            yield {"rule": rule, "text": one.get("message"), "file": name, "line": int(one.get("line", 1)),
                   "severity": severities.get(one.get("severity"), "low")}
        if file.findall("exception"):
            yield {"rule": "not-parsed", "severity": "high", "file": name,
                   "text": "it cannot be parsed, so it was not checked"}


own = os.path.join(target, "config", "checkstyle", "checkstyle.xml")
for start in range(0, len(files), 1000):
    for config, folder in ((rules, os.getcwd()), *([(own, target)] if os.path.isfile(own) else [])):
        for one in report(config, folder, files[start : start + 1000]):
            if (line := json.dumps(one)) not in said:
                said.add(line)
                print(line)
PYTHON
