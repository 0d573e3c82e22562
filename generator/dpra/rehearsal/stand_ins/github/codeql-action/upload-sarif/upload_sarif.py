"""Takes reports as code scanning does: one run of a category and a tool, where the job has the permissions."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

INPUTS = {name: str(value) for name, value in json.loads(os.environ["INPUTS"]).items()}
PERMISSIONS: dict[str, str] = json.loads(os.environ.get("DPRA_REHEARSAL_PERMISSIONS") or "{}")
FORBIDDEN = "Resource not accessible by integration"
SAME = "The CodeQL Action does not support uploading multiple SARIF runs with the same category."
MOST = 20  # runs in an upload


def fail(message: str) -> NoReturn:
    print(f"::error::{message}")
    sys.exit(1)


def read(report: Path) -> list[dict[str, Any]]:
    try:
        document = json.loads(report.read_bytes())
    except ValueError as error:
        fail(f"Invalid SARIF. JSON syntax error: {error}")
    if not isinstance(document, dict) or document.get("version") != "2.1.0":
        fail(f'Unable to upload "{report}" as it is not valid SARIF: it is not version 2.1.0')
    if not isinstance(runs := document.get("runs"), list):
        fail("Invalid SARIF. Missing 'runs' array.")
    for run in runs:
        if not isinstance(run.get("results"), list):
            fail("Invalid SARIF. Missing 'results' array in run.")
        if not run.get("tool", {}).get("driver", {}).get("name"):
            fail(f'Unable to upload "{report}" as it is not valid SARIF: a run names no tool')
    return runs


def identity(run: dict[str, Any]) -> tuple[str, str]:
    """By what code scanning tells a run: the tool, and the id up to its last slash."""
    said = (run.get("automationDetails") or {}).get("id") or f"{INPUTS['category'].rstrip('/')}/"
    return said.rpartition("/")[0], run["tool"]["driver"]["name"]


def sanitized(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", text or "_").upper()


place = Path(INPUTS["sarif_file"])
if os.environ.get("PRIVATE") != "false" and not PERMISSIONS.get("actions"):
    fail(f"{FORBIDDEN} - https://docs.github.com/rest/actions/workflow-runs#get-a-workflow-run")
if not place.exists():
    fail(f"Path does not exist: {place}")
reports = sorted(path for path in place.rglob("*.sarif") if path.is_file()) if place.is_dir() else [place]
if not reports:
    fail(f'No SARIF files found to upload in "{place}".')
runs = [run for report in reports for run in read(report)]
identities = [identity(run) for run in runs]
if len(set(identities)) < len(identities):
    fail(f"{SAME} Please update your workflow to upload a single run per category.")
if len(runs) > MOST:
    fail(f"rejecting SARIF, as there are more runs than allowed ({len(runs)} > {MOST})")
sentinels = {
    f"CODEQL_UPLOAD_SARIF_{sanitized(category and f'{category}/')}_{sanitized(tool)}" for category, tool in identities
}
for sentinel in sorted(sentinels & set(os.environ)):
    fail(
        "Aborting upload: only one run of the codeql/analyze or codeql/upload-sarif actions is allowed per job per "
        f"tool/category. {sentinel} is there already."
    )
if PERMISSIONS.get("security-events") != "write":
    fail(f"{FORBIDDEN} - https://docs.github.com/rest/code-scanning/code-scanning#upload-an-analysis-as-sarif-data")
with open(os.environ["GITHUB_ENV"], "a") as env:
    env.writelines(f"{sentinel}={sentinel}\n" for sentinel in sorted(sentinels))
with open(os.environ["GITHUB_OUTPUT"], "a") as out:
    out.write('sarif-id=1\nsarif-ids={"code-scanning": "1"}\n')
print(f"Successfully uploaded results: {', '.join(f'{tool} as {category}' for category, tool in identities)}")
