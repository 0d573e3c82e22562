#!/usr/bin/env bash
# Terraform: is it valid, and formatted? Without its backend; the providers come by its own lock file.
# default for code-quality: terraform
# version: 1.5.0
# version-command: terraform version
# on-path: the job's Terraform (hashicorp/setup-terraform)
# ok-exit-codes: 0
# environment: TF_PLUGIN_CACHE_DIR TF_REGISTRY_DISCOVERY_RETRY
#
# Every folder with *.tf or *.tf.json counts, not only the root. Each is validated in a copy of the files of Terraform.
#
# It reads besides: .terraformrc in HOME (empty), TF_CLI_CONFIG_FILE, TF_CLI_ARGS*, TF_VAR_* (not passed; the
# configuration is empty). `init` installs the providers of the lock file, and runs them to ask for their schemas: what a
# change may add to required_providers runs here, by its checksum in the lock file, and only here.
set -euo pipefail
python3 -I -B "$CHECK/files.py" terraform > "$TMPDIR/files"
: > "$TMPDIR/terraformrc"
export TF_IN_AUTOMATION=1 TF_CLI_CONFIG_FILE=$TMPDIR/terraformrc CHECKPOINT_DISABLE=1
python3 -I -B - "$TMPDIR/files" <<'PYTHON' | python3 -I -B "$CHECK/sarif.py" terraform "$TMPDIR/files"
import json, os, shutil, subprocess, sys
from pathlib import Path

target, private = Path(os.environ["TARGET"]), Path(os.environ["TMPDIR"])
root = os.path.normpath(os.environ.get("TOOL_FILE") or ".")
names = [os.fsdecode(name) for name in Path(sys.argv[1]).read_bytes().split(b"\0") if name]
if root != ".":
    names = [name for name in names if name.startswith(f"{root}/")]
Path(sys.argv[1]).write_bytes(b"".join(os.fsencode(name) + b"\0" for name in names))
severities = {"error": "high", "warning": "medium"}
code = private / "code"
for name in names:
    copy = code / name
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(target / name, copy)
folders = sorted({os.path.dirname(name) for name in names})
for folder in folders:
    lock = target / folder / ".terraform.lock.hcl"
    if lock.is_file():
        shutil.copyfile(lock, code / folder / lock.name)


def terraform(folder, *words):
    data = {**os.environ, "TF_DATA_DIR": str(private / "terraform" / (folder or "root"))}
    return subprocess.run(["terraform", *words], cwd=code / folder, env=data, stdout=subprocess.PIPE)


for folder in folders:
    inside = [name for name in names if os.path.dirname(name) == folder]
    unformatted = os.fsdecode(terraform(folder, "fmt", "-check", "-list=true", ".").stdout).splitlines()
    sys.stderr.buffer.write(terraform(folder, "init", "-backend=false", "-input=false", "-no-color").stdout)
    said = json.loads(terraform(folder, "validate", "-json", "-no-color").stdout)  # its answer is in the JSON
    if not said["valid"] and not said["diagnostics"]:
        sys.exit("invalid, and no reason given")
    for name in inside:
        print(json.dumps({"looked": name}))
        if os.path.basename(name) in unformatted:
            print(json.dumps({"rule": "fmt", "severity": "medium", "text": "not formatted: run terraform fmt", "file": name}))
    for one in said["diagnostics"]:
        place = one.get("range") or {}
        file = os.path.normpath(os.path.join(folder, place["filename"])) if place.get("filename") else inside[0]
        print(json.dumps({"rule": one["severity"], "severity": severities[one["severity"]], "file": file,
                          "text": f"{one['summary']}: {one.get('detail', '')}", "line": place.get("start", {}).get("line")}))
PYTHON
