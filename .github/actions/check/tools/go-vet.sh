#!/usr/bin/env bash
# Go code: go vet, and whether gofmt would change it.
# default for code-quality: go
# version: 1.21
# version-command: go version
# on-path: the job's Go toolchain (actions/setup-go)
# environment: GOROOT GOPROXY GOSUMDB GONOSUMDB GOPRIVATE GOMODCACHE GOCACHE
# ok-exit-codes: 0
set -euo pipefail
cd "$TARGET"
if [[ -z $(find . -name '*.go' -not -path './.github/*' -print -quit) ]]; then
  echo "There is no Go file to check." >&2
  exit 65
fi
said=$TMPDIR/vet.json
code=0
go vet -json ./... > "$said" 2> "$said.log" || code=$?
cat "$said.log" >&2
gofmt=$(command -v gofmt || echo "$(go env GOROOT)/bin/gofmt")
unformatted=$("$gofmt" -l .) || code=$? # fails on what it cannot parse
((code == 0)) || exit 70
UNFORMATTED=$unformatted python3 -I - "$said" "$said.log" <<'PYTHON' | python3 -I -B "$CHECK/sarif.py" "go vet"
import json, os, sys
decoder, text = json.JSONDecoder(), ""
for path in sys.argv[1:]:  # go vet says its findings on one stream or the other, by version
    text += "".join(line for line in open(path, encoding="utf-8") if not line.startswith("# "))
text = text.strip()
while text:
    found, end = decoder.raw_decode(text)
    text = text[end:].strip()
    for checks in found.values():
        for check, said in checks.items():
            for one in said:
                file, line, _ = one["posn"].rsplit(":", 2)
                print(json.dumps({"rule": check, "severity": "high", "text": one["message"], "line": int(line),
                                  "file": os.path.relpath(file)}))
for file in os.environ["UNFORMATTED"].splitlines():
    print(json.dumps({"rule": "gofmt", "severity": "medium", "text": "not formatted: run gofmt -w", "file": file}))
PYTHON
