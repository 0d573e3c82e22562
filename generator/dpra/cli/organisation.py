"""init --from-organisation: from AWS, or a saved organisation, to files that are not there yet."""

import importlib
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from dpra import resources, tree
from dpra.adopt import detect, organisation
from dpra.cli import common
from dpra.errors import OutsideError

PATIENCE = 15  # seconds after which, again and again, is said that it goes on
MODULES = ("configuration_parsers", "fleet_files", "fleet_plan", "fleet_rules", "fleet_seen")
# What AWS says -> the way out.
WAYS_OUT = {
    "Unable to locate credentials": "give credentials, such as by AWS_PROFILE or aws sso login",
    "could not be found": "AWS_PROFILE names no profile of this machine",
    "ExpiredToken": "log in again, such as by aws sso login",
    "AWSOrganizationsNotInUseException": "this account has no organisation; take credentials of the management account",
    "AccessDenied": "take credentials of the management account that may read Organizations, tags and stack sets, such "
    "as by the policies AWSOrganizationsReadOnlyAccess, AWSCloudFormationReadOnlyAccess and "
    "ResourceGroupsandTagEditorReadOnlyAccess",
    "the AWS CLI cannot be run": "install it: https://docs.aws.amazon.com/cli",
    "Unknown options": "the AWS CLI is too old: update it",
}


class ReadingError(OutsideError):
    """The organisation could not be read. `str()` says why."""


def init(root: Path, saved: Path | None, dry_run: bool, form: str) -> None:
    """What `dpra init --from-organisation` does."""
    found = detect.detect(root)
    said = _said(tree.read(root, "dpra.yml"))
    name, folder = str(said.get("name") or found.name), str((said.get("fleet") or {}).get("folder") or "")
    lib = _modules()
    if not dry_run and (mine := _there(root / folder, lib)):
        some = f"{', '.join(mine[:5])}{f' and {len(mine) - 5} more' if len(mine) > 5 else ''}"
        common.fail(
            f"{some}: there already, and nothing is written over. See what init would write: --dry-run; "
            "write it elsewhere: dpra -C FOLDER init --from-organisation",
            common.DOES_NOT_HOLD,
        )
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
    seen = _saved(saved) if saved else _read(region or "us-east-1", name)
    made = organisation.adopted(seen, name)
    if steps := _planned(made, name, seen, lib):
        says = f"The plan of these files is not empty, which is a mistake of dpra's: {'; '.join(steps[:20])}"
        common.fail(f"{says}. Nothing is written.", common.DOES_NOT_HOLD)
    files, unknown = {f"{folder}/{path}" if folder else path: text for path, text in made.files.items()}, list[str]()
    if not said:
        files["dpra.yml"], unknown = organisation.spec(made, name, found.repository, found.trunk, region)
        unknown += [] if found.repository_why else ["the GitHub repository: repository is a guess; AWS will trust it"]
    if not dry_run:
        tree.put(root, {path: text.encode() for path, text in files.items()})
    if form == "json":
        written = [] if dry_run else list(files)
        click.echo(json.dumps({"files": files, "notes": list(made.told), "unknown": unknown, "written": written}))
    else:
        _tell(made, files, unknown, dry_run)


def _said(data: bytes | None) -> dict[str, Any]:
    """What a dpra.yml says that is there: it stays, so its name and folder are those of the fleet. Units that it names
    may not be there yet, so it is no plan."""
    if data is None:
        return {}
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        said = YAML(typ="safe", pure=True).load(data)
    except (YAMLError, UnicodeDecodeError):
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("fleet") or {}, dict):
        common.fail("dpra.yml: it cannot be read; see what is wrong: dpra plan", common.WRONG_INPUT)
    if (kind := said.get("pipeline")) != "account-fleet":
        says = f"dpra.yml: is there already, of the type {kind or 'application'}"
        common.fail(f"{says}. Make the fleet's in a repository of its own", common.DOES_NOT_HOLD)
    return said


def _tell(made: organisation.Adopted, files: dict[str, str], unknown: list[str], dry_run: bool) -> None:
    if dry_run:
        for path, text in files.items():
            click.echo(f"# ---- {path}\n{text}", nl=False)
    for title, lines in (("Not known:", unknown), ("Note:", made.told)):
        for line in lines:
            click.echo(f"{title} {line if line.isprintable() else ascii(line)[1:-1]}", err=dry_run)
    units, accounts = (f"{number} {what}{'' if number == 1 else 's'}" for number, what in _counts(made))
    policies = f"{made.policies} {'policy' if made.policies == 1 else 'policies'}"
    verb = "would be written" if dry_run else "written"
    click.echo(f"{len(files)} files {verb}: {units}, {accounts}, {policies}.", err=dry_run)
    click.echo("Their plan is empty: they change nothing.", err=dry_run)
    if not dry_run:
        click.echo("Next: fill in what is not known, then dpra plan and dpra generate")


def _counts(made: organisation.Adopted) -> Iterator[tuple[int, str]]:
    yield len(made.units) - 1, "unit"
    yield made.accounts, "account"


def _modules() -> Any:
    resources.lib("runner")  # then the pack's modules find each other, by their own names
    return {name: importlib.import_module(name) for name in MODULES}


def _there(root: Path, lib: Any) -> list[str]:
    """Files that a fleet is read from."""
    try:
        return sorted(lib["fleet_files"].in_folder(root))
    except LookupError as error:
        common.fail(str(error), common.WRONG_INPUT)


def _planned(made: organisation.Adopted, name: str, seen: Any, lib: Any) -> list[str]:
    """What the files would change, or what is wrong with them: nothing, or there is a mistake in dpra."""
    contents = {path: text.encode() for path, text in made.files.items()}
    built, problems = lib["fleet_files"].build(contents, name, lib["configuration_parsers"].events)
    found = [f"{one.file}:{one.line}: {one.message}" for one in (*problems, *lib["fleet_rules"].problems(built))]
    if found:
        return found
    plan = lib["fleet_plan"].plan(built, lib["fleet_seen"].Seen.from_json(seen))
    return [*(f"{one.on}: {one.text}" for one in plan.refused), *(f"{one.action} {one.on}" for one in plan.steps)]


# ---- Where the organisation comes from


def _saved(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        common.fail(f"{path}: {error.strerror}", common.WRONG_INPUT)
    except ValueError as error:
        common.fail(f"{path}: this is no JSON: {error}", common.WRONG_INPUT)


def _read(region: str, name: str) -> Any:
    """The organisation, with the credentials of who calls.

    Raises:
        ReadingError: AWS refused, or could not be asked.
    """
    reading, failed = resources.lib("organisation"), importlib.import_module("runner").Failed
    try:
        with _progress("Reading the organisation; one of thousands of accounts takes minutes"):
            found = reading.read(region, name)
    except failed as error:
        hint = next((way for words, way in WAYS_OUT.items() if words in str(error)), "")
        raise ReadingError(str(error), hint=hint) from None
    return found


@contextmanager
def _progress(words: str) -> Iterator[None]:
    """Says on stderr that something goes on, as long as it does."""
    done, began = threading.Event(), time.monotonic()

    def say() -> None:
        while not done.wait(PATIENCE):
            click.echo(f"… {time.monotonic() - began:.0f} s", err=True)

    click.echo(f"{words} …", err=True)
    thread = threading.Thread(target=say, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
