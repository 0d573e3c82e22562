"""Downloads artifacts of this run as GitHub does: one by name, or all that fit a pattern, each into its own folder."""

import json
import os
import shutil
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NoReturn

INPUTS = json.loads(os.environ["INPUTS"])
STORE = Path(os.environ["DPRA_REHEARSAL_ARTIFACTS"])


def fail(message: str) -> NoReturn:
    print(f"::error::{message}")
    sys.exit(1)


if INPUTS["artifact-ids"] or INPUTS["github-token"]:
    fail("The rehearsal downloads by name and only from its own run: no artifact-ids, no github-token.")
name, pattern = str(INPUTS["name"]), str(INPUTS["pattern"])
there = {path.name: path for path in sorted(STORE.iterdir())}
if name and name not in there:
    fail(f"Unable to download artifact(s): Artifact not found for name: {name}")
chosen = [name] if name else [artifact for artifact in there if fnmatchcase(artifact, pattern or "*")]
together = bool(name) or str(INPUTS["merge-multiple"]).lower() == "true"
target = Path(os.environ["GITHUB_WORKSPACE"], Path(str(INPUTS["path"])).expanduser())
target.mkdir(parents=True, exist_ok=True)
for artifact in chosen:
    shutil.copytree(there[artifact], target if together else target / artifact, dirs_exist_ok=True)
with open(os.environ["GITHUB_OUTPUT"], "a") as out:
    out.write(f"download-path={target}\n")
print(f"Downloaded {len(chosen)} artifacts to {target}: {', '.join(chosen)}")
