#!/usr/bin/env bash
# Java code: Checkstyle, by the project's own config/checkstyle/checkstyle.xml, else by a few rules of dpra.
# default for code-quality: java
# version: 10.21.0
# oldest: 8.36.1
# version-command: checkstyle --version
# hook: \.java$
# environment: JAVA_HOME
# ok-exit-codes: 0
# source any: https://github.com/checkstyle/checkstyle/releases/download/checkstyle-10.21.0/checkstyle-10.21.0-all.jar sha256: 911fee0b8a8495f0d8a168815e91bb8abb3f497c96a46d8b78e433a516bc88e7
set -euo pipefail
cd "$TARGET"
mapfile -d '' -t files < <(find . -name '*.java' -not -path './.github/*' -not -path '*/target/*' -not -path '*/build/*' -print0)
if ((${#files[@]} == 0)); then
  echo "There is no Java file to check." >&2
  exit 65
fi
config=config/checkstyle/checkstyle.xml
[[ -f $config ]] || config=$CHECK/rules/checkstyle.xml
checkstyle=(checkstyle)
[[ -z ${TOOL_HOME:-} ]] || checkstyle=(java -jar "$TOOL_HOME/bin/checkstyle")
# Its exit code is the number of errors; what it found is in the XML, and what it could not parse, too.
"${checkstyle[@]}" -c "$config" -f xml -o "$TMPDIR/found.xml" "${files[@]}" >&2 || true
python3 -I - "$TMPDIR/found.xml" <<'PYTHON' | python3 -I -B "$CHECK/sarif.py" checkstyle
import json, os, sys
import xml.etree.ElementTree as ElementTree
root = ElementTree.parse(sys.argv[1]).getroot()  # no report: it did not run
severities = {"error": "high", "warning": "medium"}
if not root.findall("file"):
    sys.exit("checkstyle checked no file")
for file in root.iter("file"):
    name = os.path.relpath(file.get("name"))
    for one in file.findall("error"):
        print(json.dumps({"rule": one.get("source").rsplit(".", 1)[-1], "text": one.get("message"), "file": name,
                          "severity": severities.get(one.get("severity"), "low"), "line": int(one.get("line", 1))}))
    for one in file.findall("exception"):
        print(json.dumps({"rule": "not-parsed", "severity": "high", "file": name,
                          "text": "it cannot be parsed, so it was not checked"}))
PYTHON
