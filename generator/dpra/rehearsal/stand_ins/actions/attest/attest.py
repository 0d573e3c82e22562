"""Attests where files come from, as the job that its token shows it to be. Refuses without the two permissions."""

import hashlib
import json
import os
import re
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NoReturn

INPUTS = {name: str(value) for name, value in json.loads(os.environ["INPUTS"]).items()}
KNOWN = ("create-storage-record", "github-token", "show-summary", "subject-path")


def fail(message: str) -> NoReturn:
    print(f"::error::{message}")
    sys.exit(1)


def ask(url: str, data: bytes | None = None, bearer: str = "") -> Any:
    request = urllib.request.Request(url, data=data, headers={"Authorization": f"Bearer {bearer}"})  # noqa: S310
    # No proxy: the request stays on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        return json.loads(opener.open(request, timeout=60).read())
    except urllib.error.HTTPError as error:
        fail(f"Failed to get a signing certificate: {error.code} {error.read().decode(errors='replace')}")


for name, value in INPUTS.items():
    if name not in KNOWN and value not in ("", "false"):
        fail(f"The rehearsal knows provenance of subject-path only, not {name}.")
url, bearer = (os.environ.get(f"ACTIONS_ID_TOKEN_REQUEST_{name}") for name in ("URL", "TOKEN"))
if not url or not bearer:
    fail('missing "id-token" permission. Please add "permissions: id-token: write" to your workflow.')
if not (attest := os.environ.get("DPRA_REHEARSAL_ATTEST_URL")):
    fail("Failed to persist attestation: Resource not accessible by integration")
paths = [Path(part.strip()) for part in re.split(r"[,\n]", INPUTS["subject-path"]) if part.strip()]
if not paths or not all(path.is_file() for path in paths):
    fail(f"Could not find subject at path {INPUTS['subject-path']}")
statement = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [
        {"name": path.name, "digest": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}} for path in paths
    ],
    "predicateType": "https://slsa.dev/provenance/v1",
    "predicate": {},  # what it says is of GitHub's making, too, and nobody here reads it
}
token = ask(f"{url}&audience=sigstore", bearer=bearer)["value"]
bundle = ask(attest, json.dumps({"token": token, "statement": statement}).encode())
target = Path(tempfile.mkdtemp(dir=os.environ["RUNNER_TEMP"])) / "attestation.json"
target.write_text(json.dumps(bundle) + "\n", encoding="utf-8")
with open(os.environ["GITHUB_OUTPUT"], "a") as out:
    out.write(f"bundle-path={target}\n")
print(f"Attestation created for {len(paths)} subjects")
