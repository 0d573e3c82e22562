"""Uploads files as GitHub does: a name once in a run, no hidden files unless asked for, no exec bits."""

import glob
import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import NoReturn

INPUTS = json.loads(os.environ["INPUTS"])
STORE = Path(os.environ["DPRA_REHEARSAL_ARTIFACTS"])
LONGEST = 90  # days, unless the organisation says otherwise
FORBIDDEN = '":<>|*?\r\n\\/'


def fail(message: str) -> NoReturn:
    print(f"::error::{message}")
    sys.exit(1)


def choice(name: str, *allowed: str) -> str:
    value = str(INPUTS[name]).lower()
    if value not in allowed:
        fail(f"Unrecognized {name} input. Provided: {value}. Available options: {', '.join(allowed)}")
    return value


def found(pattern: str, hidden: bool) -> tuple[Path, set[Path]]:
    """Where a pattern searches, and the files it finds."""
    pattern = os.path.abspath(Path(pattern).expanduser())  # noqa: PTH100  (symbolic links stay)
    base = Path(re.split(r"/[^/]*[*?\[]", pattern)[0] or "/")
    starts = [Path(path) for path in glob.glob(pattern, recursive=True, include_hidden=True)]  # noqa: PTH207
    files: set[Path] = set()
    for start in starts:
        files |= set(start.rglob("*")) if start.is_dir() else {start}
    files = {file for file in files if file.is_file()}
    if not hidden:
        parts = {file: (base.name, *file.relative_to(base).parts) for file in files}
        files = {file for file in files if not any(part.startswith(".") for part in parts[file])}
    return base, files


def search(hidden: bool) -> tuple[Path, set[Path]]:
    """The files to upload and the folder that their names in the artifact start from."""
    lines = [line.strip() for line in str(INPUTS["path"]).splitlines() if line.strip()]
    bases: list[Path] = []
    files: set[Path] = set()
    for line in lines:
        base, some = found(line.removeprefix("!").strip(), hidden)
        if line.startswith("!"):
            files -= some
        else:
            bases.append(base)
            files |= some
    if len(bases) == 1:
        return (bases[0] if bases[0].is_dir() else bases[0].parent), files
    return Path(os.path.commonpath([str(base if base.is_dir() else base.parent) for base in bases])), files


if not str(INPUTS["path"]).strip():
    fail("Input required and not supplied: path")
missing = choice("if-no-files-found", "warn", "error", "ignore")
overwrite = choice("overwrite", "true", "false") == "true"
hidden = choice("include-hidden-files", "true", "false") == "true"
archive = choice("archive", "true", "false") == "true"
if not re.fullmatch("[0-9]", str(INPUTS["compression-level"])):
    fail("Invalid compression-level. Valid values are 0-9")

if retention := str(INPUTS["retention-days"]).strip():
    if not (days := re.match(r"[+-]?[0-9]+", retention)):
        fail("Invalid retention-days")
    if int(days[0]) > LONGEST:
        most = "the maximum allowed retention set within the repository"
        print(f"::warning::Retention days cannot be greater than {most}. Using {LONGEST} instead.")

root, files = search(hidden)
if not files:
    message = f"No files were found with the provided path: {INPUTS['path']}. No artifacts will be uploaded."
    if missing == "error":
        fail(message)
    print(f"::warning::{message}" if missing == "warn" else message)
    sys.exit(0)
if not archive and len(files) != 1:
    fail(f"When 'archive' is set to 'false', only a single file can be uploaded. Found {len(files)} files to upload.")

name = str(INPUTS["name"]) if archive else next(iter(files)).name
if not name or any(character in FORBIDDEN for character in name):
    fail(f'The artifact name is not valid: {name}. It must not be empty or contain any of " : < > | * ? \\r \\n \\ /')
artifact = STORE / name
if overwrite and artifact.exists():
    shutil.rmtree(artifact)
try:
    artifact.mkdir(parents=True)
except FileExistsError:
    fail("Failed to CreateArtifact: Received non-retryable error: Failed request: (409) Conflict: "
         f"an artifact with this name already exists on the workflow run: {name}")  # fmt: skip

digest = hashlib.sha256()
for file in sorted(files):
    inside = file.relative_to(root)
    if re.search(r'[":<>|*?\r\n]', str(inside)):
        fail(f"The path for one of the files in artifact is not valid: {inside}")
    target = artifact / inside
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)
    target.chmod(0o644)
    digest.update(str(inside).encode() + b"\0" + target.read_bytes())

identity = str(len(list(STORE.iterdir())))
url = f"https://github.com/{os.environ['GITHUB_REPOSITORY']}/actions/runs/{os.environ['GITHUB_RUN_ID']}/artifacts/{identity}"
with open(os.environ["GITHUB_OUTPUT"], "a") as out:
    out.write(f"artifact-id={identity}\nartifact-url={url}\nartifact-digest={digest.hexdigest()}\n")
print(f"Artifact {name} has {len(files)} files.")
