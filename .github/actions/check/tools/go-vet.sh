#!/usr/bin/env bash
# Go code: go vet, in every module, and whether gofmt would change it.
# default for code-quality: go
# version: 1.21
# version-command: go version
# on-path: the job's Go toolchain (actions/setup-go)
# environment: GOROOT GOPROXY GOSUMDB GONOSUMDB GOPRIVATE GOMODCACHE GOCACHE GOTOOLCHAIN
# ok-exit-codes: 0
#
# Files that this machine's build leaves out (_windows.go, tags) are vetted with the systems and tags that they name; what
# is in no build then (//go:build ignore), by its name; what cannot be vetted so is not-checked. Of testdata/ and of
# vendor/, packages that are imported are vetted, and the rest is parsed.
#
# It reads besides: go.mod and go.work, as the build does, though a toolchain that go.mod names comes from GOPROXY with
# Go's own checksums; GOENV (off), GOFLAGS, GOVCS and the like (not passed). cgo is off: no compiler gets flags of the code.
set -euo pipefail
python3 -I -B "$CHECK/files.py" go > "$TMPDIR/files"
gofmt=$(command -v gofmt || echo "$(go env GOROOT)/bin/gofmt")
python3 -I -B - "$TMPDIR/files" "$gofmt" <<'PYTHON' | python3 -I -B "$CHECK/sarif.py" "go vet" "$TMPDIR/files"
import json, os, re, subprocess, sys

target, gofmt = os.path.realpath(os.environ["TARGET"]), sys.argv[2]
names = [os.fsdecode(name) for name in open(sys.argv[1], "rb").read().split(b"\0") if name]
wanted = {os.path.join(target, name): name for name in names}
base = {**os.environ, "CGO_ENABLED": "0", "GOENV": "off", "GOWORK": os.environ.get("GOWORK", "")}
SYSTEMS = "aix android darwin dragonfly freebsd illumos ios js linux netbsd openbsd plan9 solaris wasip1 windows".split()
MACHINES = "386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x wasm".split()
FIXED = {"ignore", "cgo", "unix", "gc", "gccgo", "race", "msan", "asan"}
seen, said_already = set(), set()


def go(words, folder, **more):
    ran = subprocess.run(["go", *words], cwd=folder, env={**base, **more}, capture_output=True)
    return ran.returncode, os.fsdecode(ran.stdout), os.fsdecode(ran.stderr)


def objects(text):
    decoder, text = json.JSONDecoder(), "".join(line for line in text.splitlines(True) if not line.startswith("# ")).strip()
    while text.startswith("{"):
        found, end = decoder.raw_decode(text)
        text = text[end:].strip()
        yield found


def say(rule, severity, text, file, line=1):
    one = {"rule": rule, "severity": severity, "text": text, "file": file, "line": line}
    if (key := json.dumps(one)) not in said_already:
        said_already.add(key)
        print(key)


def vet(packages, folder, **more):
    """Whether it could look at them."""
    code, out, err = go(["vet", "-json", *packages], folder, **more)
    for found in objects(out + err):  # on one stream or the other, by version
        for checks in found.values():
            for check, said in checks.items():
                for one in said if isinstance(said, list) else []:
                    file, line, _ = one["posn"].rsplit(":", 2)
                    file = os.path.realpath(os.path.join(folder, file))
                    if file in wanted:
                        say(check, "high", one["message"], file, int(line))
    if code:
        sys.stderr.write(err)
    return code == 0


def packages(folder, **more):
    """Import path -> the files of a package, of those that lie in the target."""
    fields = "Dir,ImportPath,GoFiles,CgoFiles,TestGoFiles,XTestGoFiles,DepOnly,Standard"
    code, out, err = go(["list", "-e", "-deps", f"-json={fields}", "./..."], folder, **more)
    found = {}
    for one in objects(out) if code == 0 else ():
        place = os.path.realpath(one.get("Dir") or "/")
        if one.get("Standard") or not place.startswith(target):
            continue
        kinds = ("GoFiles",) if one.get("DepOnly") else ("GoFiles", "TestGoFiles", "XTestGoFiles")
        inside = {os.path.join(place, file) for kind in kinds for file in one.get(kind) or ()}
        if inside & set(wanted):
            found[one["ImportPath"]] = inside
    return found


def left_out(file):
    """Systems, machines and tags that a file names."""
    words = set(re.split(r"_", os.path.basename(file)[:-3])[1:])
    with open(file, encoding="utf-8", errors="replace") as opened:
        for line in opened:
            if line.startswith("//go:build "):
                words |= set(re.findall(r"[\w.]+", line[11:]))
            elif line.startswith("package "):
                break
    tags = {word for word in words if re.search(r"^[a-z]\w*$", word)} - set(SYSTEMS) - set(MACHINES) - FIXED - {"test"}
    return [one for one in SYSTEMS if one in words], [one for one in MACHINES if one in words], tags


modules = []
for folder, folders, files in os.walk(target):
    folders[:] = [one for one in folders if one not in (".git", "node_modules", "testdata")]
    if "go.mod" in files and any(file.startswith(f"{folder}/") for file in wanted):
        modules.append(folder)
failed = False
for folder in modules:
    def run(**more):
        found = packages(folder, **more)
        if found and vet(list(found), folder, **more):
            seen.update(*found.values())
            return True
        return not found
    failed = not run() or failed
    own = [one for one in wanted if one.startswith(f"{folder}/") and not re.search(r"/(vendor|testdata)/", one)]
    tried = set()
    for file in own:
        if file in seen or not file.lower().endswith(".go"):
            continue
        systems, machines, tags = left_out(file)
        for system in systems or [""]:
            for machine in machines[:1] or [""]:
                more = {"GOOS": system, "GOARCH": machine, "GOFLAGS": f"-tags={','.join(sorted(tags))}" if tags else ""}
                more = {name: value for name, value in more.items() if value}
                if more and str(more) not in tried and file not in seen:
                    tried.add(str(more))
                    run(**more)
if failed:
    sys.exit("go vet failed")
parsed, unformatted = set(), set()
for start in range(0, len(wanted), 500):
    batch = list(wanted)[start : start + 500]
    ran = subprocess.run([gofmt, "-l", *batch], capture_output=True)  # fails on what it cannot parse
    for one in [batch] if ran.returncode == 0 else [[file] for file in batch]:
        again = ran if len(one) == len(batch) else subprocess.run([gofmt, "-l", *one], stdout=subprocess.PIPE)
        if again.returncode == 0:
            parsed.update(one)
            unformatted.update(os.fsdecode(again.stdout).splitlines())
for file, name in wanted.items():
    aside = re.search(r"/(vendor|testdata)/", file)
    if file not in parsed and "/testdata/" not in file:
        say("not-parsed", "high", "gofmt cannot parse it, so it was not checked", file)
    if file in seen or aside or file not in parsed or vet([file], os.path.dirname(file)):
        print(json.dumps({"looked": name}))
    else:
        say("not-checked", "high", "no build includes it, and it cannot be vetted by itself: waive not-checked with this path", file)
    if file in unformatted and not aside:
        say("gofmt", "medium", "not formatted: run gofmt -w", file)
PYTHON
