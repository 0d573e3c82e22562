#!/usr/bin/env bash
# semgrep.sh ENGINE OPTION...: semgrep or its fork over the files of the languages, with dpra's rules and the repository's.
set -euo pipefail
engine=$1
cd "$TARGET"
export SEMGREP_SEND_METRICS=off SEMGREP_ENABLE_VERSION_CHECK=0 SEMGREP_SETTINGS_FILE=$TMPDIR/settings.yml
export SEMGREP_LOG_FILE=$TMPDIR/semgrep.log
patterns=()
for language in $DPRA_LANGUAGE; do
  case $language in
    python) patterns+=('*.py') ;;
    node | cdk) patterns+=('*.js' '*.mjs' '*.cjs' '*.jsx' '*.ts' '*.tsx') ;;
    java) patterns+=('*.java') ;;
    go) patterns+=('*.go') ;;
  esac
done
((${#patterns[@]} > 0)) || patterns=('*.py' '*.js' '*.mjs' '*.cjs' '*.ts' '*.java' '*.go')
names=()
for pattern in "${patterns[@]}"; do names+=(-o -name "$pattern"); done
mapfile -d '' -t files < <(find . -type f \( "${names[@]:1}" \) -not -path './.github/*' -not -path './.git/*' \
  -not -path '*/node_modules/*' -not -path '*/.venv/*' -not -path '*/cdk.out/*' -print0)
if ((${#files[@]} == 0)); then
  echo "There is no file of ${DPRA_LANGUAGE:-any language} to check." >&2
  exit 65
fi
rules=(--config "$CHECK/rules/semgrep")
if [[ -d policies/semgrep ]]; then rules+=(--config policies/semgrep); fi
# semgrep passes over what it cannot parse and says nothing: so the languages' own parsers look first. Runners have them.
broken=$TMPDIR/broken
: > "$broken"
unparsed() { # COMMAND...: the files that a parser refuses, which it names at the start of a line
  local said
  said=$("$@" 2>&1 > /dev/null) || {
    printf '%s\n' "$said" >&2
    sed -nE 's/^(.+\.[a-z]+):[0-9]+:([0-9]+:| error:) .*/\1/p' <<< "$said" | sort -u > "$broken.now"
    [[ -s $broken.now ]] || exit 70 # the parser itself failed
    cat "$broken.now" >> "$broken"
  }
}
go=() java=() python=()
for file in "${files[@]}"; do
  case $file in
    *.js | *.mjs | *.cjs)
      node --check "$file" 2> /dev/null || node --input-type module --check < "$file" 2> /dev/null \
        || printf '%s\n' "$file" >> "$broken"
      ;;
    *.go) go+=("$file") ;;
    *.java) java+=("$file") ;;
    *.py) python+=("$file") ;;
  esac
done
if ((${#go[@]} > 0)); then unparsed "$(command -v gofmt || echo "$(go env GOROOT)/bin/gofmt")" -e -l "${go[@]}"; fi
if ((${#java[@]} > 0)); then unparsed javac -proc:none -XDshould-stop.ifNoError=PARSE -d "$TMPDIR" "${java[@]}"; fi
if ((${#python[@]} > 0)); then
  python3 -I - "${python[@]}" >> "$broken" <<'PYTHON'
import ast, sys
for name in sys.argv[1:]:
    try:
        ast.parse(open(name, "rb").read())
    except (SyntaxError, ValueError):
        print(name)
PYTHON
fi
code=0
# Files by name: neither .semgrepignore nor git's own ignoring hides one.
printf '%s\0' "${files[@]}" | xargs -0 "$engine" scan "${rules[@]}" "${@:2}" --disable-version-check --disable-nosem \
  --no-git-ignore --scan-unknown-extensions --max-target-bytes 0 --timeout 60 --quiet --strict --json \
  --output "$TMPDIR/found.json" || code=$?
((code <= 3)) && [[ -s $TMPDIR/found.json ]] || exit 70
python3 -I - "$TMPDIR/found.json" "$broken" <<'PYTHON' | python3 -I -B "$CHECK/sarif.py" "$engine"
import json, sys
said = json.load(open(sys.argv[1], encoding="utf-8"))
severities = {"ERROR": "high", "CRITICAL": "critical", "HIGH": "high", "WARNING": "medium", "MEDIUM": "medium"}
for one in said["results"]:
    extra = one["extra"]
    print(json.dumps({"rule": one["check_id"].rsplit(".", 1)[-1], "severity": severities.get(extra["severity"], "low"),
                      "text": extra["message"], "file": one["path"].removeprefix("./"), "line": one["start"]["line"]}))
unseen = {str(one.get("path") or ""): str(one.get("message"))[:300] for one in said["errors"]}
for file in open(sys.argv[2], encoding="utf-8", errors="surrogateescape").read().splitlines():
    unseen[file] = "it cannot be parsed, so it was not checked"
for file, text in unseen.items():
    print(json.dumps({"rule": "not-parsed", "severity": "high", "text": text, "file": file.removeprefix("./")}))
if not said["paths"]["scanned"]:
    sys.exit("it scanned nothing")
PYTHON
