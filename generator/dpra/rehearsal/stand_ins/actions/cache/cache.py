"""Restores what an earlier job saved under a key, and saves at the end of a job that passed: cache.py restore|save

A key is saved once, by whoever comes first. As the real action's post step, `save` only ever warns.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

STORE = Path(os.environ["DPRA_REHEARSAL_CACHES"])
MINE = os.environ["DPRA_REHEARSAL_CACHE"]
ASKED = Path(os.environ["RUNNER_TEMP"], "dpra-rehearsal-caches.jsonl")  # of the job: what its steps asked for, in order
LONGEST, MOST = 512, 10  # of a key, keys


def fail(message: str) -> NoReturn:
    print(f"::error::{message}")
    sys.exit(1)


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def folder(key: str, paths: list[str]) -> Path:
    """Where an entry lies: of the key, and of the paths, without which the same key is another."""
    return STORE / hashlib.sha256("\n".join(paths).encode()).hexdigest() / hashlib.sha256(key.encode()).hexdigest()


def found(keys: list[str], paths: list[str]) -> tuple[str, Path] | None:
    """The entry of the first key, or else the newest whose key begins with one of the keys."""
    there = {
        (entry / "key").read_text("utf-8"): entry for entry in folder("", paths).parent.glob("*") if entry.is_dir()
    }
    newest = sorted(there, key=lambda key: (there[key] / "key").stat().st_mtime_ns, reverse=True)
    for key in keys:
        for name in ([key] if key in there else []) + [name for name in newest if name.startswith(key)]:
            return name, there[name]
    return None


def restore(inputs: dict[str, str]) -> None:
    key, paths = inputs["key"], lines(inputs["path"])
    for name, given in (("key", key), ("path", "".join(paths))):
        if not given:
            fail(f"Input required and not supplied: {name}")
    keys = [key, *lines(inputs["restore-keys"])]
    if len(keys) > MOST:
        fail(f"Key Validation Error: Keys are limited to a maximum of {MOST}.")
    for one in keys:
        if len(one) > LONGEST:
            fail(f"Key Validation Error: {one} cannot be larger than {LONGEST} characters.")
        if "," in one:
            fail(f"Key Validation Error: {one} cannot contain commas.")
    entry = found(keys, paths)
    with ASKED.open("a", encoding="utf-8") as asked:
        asked.write(json.dumps({"key": key, "paths": paths, "matched": entry[0] if entry else ""}) + "\n")
    if entry is None:
        if inputs["fail-on-cache-miss"].lower() == "true":
            fail(f"Failed to restore cache entry. Exiting as fail-on-cache-miss is set. Input key: {key}")
        print(f"Cache not found for input keys: {', '.join(keys)}")
        return
    with open(os.environ["GITHUB_OUTPUT"], "a") as out:
        out.write(f"cache-hit={str(entry[0].lower() == key.lower()).lower()}\n")
    if inputs["lookup-only"].lower() != "true":
        for number, path in enumerate(paths):
            put(entry[1] / str(number), Path(path).expanduser())
    print(f"Cache restored from key: {entry[0]}")


def put(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    elif source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def save(key: str, paths: list[str], matched: str) -> None:
    if key == matched:
        print(f"Cache hit occurred on the primary key {key}, not saving cache.")
        return
    there = {number: Path(path).expanduser() for number, path in enumerate(paths) if Path(path).expanduser().exists()}
    if not there:
        why = "Path(s) specified in the action for caching do(es) not exist, hence no cache is being saved."
        print(f"[warning]Path Validation Error: {why}")
        return
    if any(path.is_relative_to(MINE) for path in there.values()):
        print("These files are kept in your own cache, which rehearsals share.")
        return
    entry = folder(key, paths)
    entry.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(dir=STORE))
    for number, path in there.items():
        put(path, new / str(number))
    (new / "key").write_text(key, encoding="utf-8")
    try:
        new.rename(entry)
    except OSError:  # an entry is never changed
        shutil.rmtree(new)
        print(f"Failed to save: Unable to reserve cache with key {key}, another job may be creating this cache.")
        return
    print(f"Cache saved with key: {key}")


def main(word: str) -> None:
    if word == "restore":
        restore({name: str(value) for name, value in json.loads(os.environ["INPUTS"]).items()})
        return
    asked: list[dict[str, Any]] = (
        [json.loads(line) for line in ASKED.read_text().splitlines()] if ASKED.exists() else []
    )
    for one in reversed(asked):  # as post steps run
        save(one["key"], one["paths"], one["matched"])


main(sys.argv[1])
