"""Runs a command on an instance of the image that was built, as root. The files that it needs lie there in /repository,
as far as git knows them or lets them be: those of the folder of the tests, or of the one in which in-image runs.

in-image COMMAND...      the command's exit code is ours
in-image --each FOLDER   each executable file of the folder is a test: it passes where it exits with 0; their JUnit
                         report becomes $JUNIT_FILE
"""

import base64
import gzip
import hashlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import inside
import instances
import runner

LARGEST = 2 * 2**20  # bytes of the files that come along, packed
PART = 12_000  # bytes of base64 in a command: how large one may be, AWS does not say
SHOWN = 20_000  # bytes of a command's output: its last ones
REPORT, PARTS = "/junit/report.xml", 25  # the most parts that a report of JUnit may have
OWN = ".github/actions/dpra/"
GIT = ("git", "-c", "core.fsmonitor=false", "-c", "safe.directory=*")
LIST = ("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".")


# ---- Which instance


def state() -> Path:
    """Where the job keeps which instance it has."""
    return runner.temp() / "dpra-machine.json"


def kept() -> tuple[str, str]:
    """The region and the instance.

    Raises:
        runner.Failed: there is none.
    """
    try:
        said = json.loads(state().read_bytes())
        region, instance = str(said["region"]), str(said["instance"])
        if re.fullmatch(r"[a-z0-9-]+", region) and re.fullmatch(r"i-[0-9a-f]+", instance):
            return region, instance
    except (OSError, ValueError, LookupError, TypeError):
        pass
    raise runner.Failed("no instance of the image was launched in this job", "error")


# ---- The repository's files


def bring(folder: Path) -> None:
    """Put the files of a folder where the instance has the repository; not again what it has already.

    Raises:
        runner.Failed: they are too large, or the instance cannot unpack them.
    """
    root, _ = inside.place()
    packed = archive(root, folder.resolve())
    if len(packed) > LARGEST:
        raise runner.Failed(
            f"the files in {folder} have {len(packed)} bytes, packed: at most {LARGEST} are brought to the instance"
        )
    mark = state().with_suffix(f".{hashlib.sha256(packed).hexdigest()}")
    if mark.exists():
        return
    text = base64.b64encode(packed).decode()
    place = f"{inside.REPOSITORY}/.dpra-files"
    for at in range(0, len(text), PART):
        put = f"mkdir -p {inside.REPOSITORY}; printf %s {text[at : at + PART]} {'>>' if at else '>'} {place}"
        done = on_instance(f"set -e; {put}")
        if done.code:
            raise runner.Failed(f"the instance does not take files: {done.err}", "error")
    done = on_instance(f"set -e; base64 -d {place} | tar -xzf - -C {inside.REPOSITORY}; rm {place}")
    if done.code:
        raise runner.Failed(
            f"the instance does not unpack files, which needs base64, tar and gzip: {done.err}", "error"
        )
    mark.touch()


def archive(root: Path, folder: Path) -> bytes:
    """The files of a folder by their paths in the repository: the same for the same files."""
    ran = subprocess.run([*GIT, *LIST], cwd=folder, capture_output=True, check=False)
    names = [os.fsdecode(name) for name in ran.stdout.split(b"\0") if name] if not ran.returncode else []
    paths = (
        [folder / name for name in names] if names else [path for path in folder.rglob("*") if ".git" not in path.parts]
    )
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(dict.fromkeys(paths)):
            entry = tarfile.TarInfo(path.relative_to(root).as_posix())
            if entry.name.startswith(OWN) or not (path.is_symlink() or path.is_file()):
                continue
            if path.is_symlink():
                entry.type, entry.linkname = tarfile.SYMTYPE, str(path.readlink())
                tar.addfile(entry)
                continue
            content = path.read_bytes()
            entry.size, entry.mode = len(content), 0o755 if os.access(path, os.X_OK) else 0o644
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(held.getvalue(), mtime=0)


# ---- Commands


def on_instance(script: str) -> instances.Done:
    region, instance = kept()
    return instances.run(region, instance, script)


def script_of(words: list[str], folder: str, report: bool) -> str:
    """A script that runs a command: it says the exit code first, of which Systems Manager takes some for its own, and
    then the last of what the command said."""
    lines = [f"mkdir -p {shlex.quote(folder)} && cd {shlex.quote(folder)} || exit 1", "said=$(mktemp) || exit 1"]
    if report:
        lines += [f"mkdir -p /junit && rm -f {REPORT} && export JUNIT_FILE={REPORT} || exit 1"]
    lines += [
        f'({shlex.join(words)}) > "$said" 2>&1 < /dev/null',
        'echo $?; size=$(wc -c < "$said")',
        f'if [ "$size" -gt {SHOWN} ]; then echo "[the first $((size - {SHOWN})) bytes of its output are cut]"; fi',
        f'tail -c {SHOWN} "$said"; rm -f "$said"',
    ]
    return "\n".join(lines)


def run(words: list[str], wanted: bool) -> tuple[int, bytes]:
    report = "" if wanted else os.environ.get("JUNIT_FILE", "")
    script = script_of(words, inside.place()[1], bool(report))
    done = on_instance(script)
    code, _, said = done.out.partition("\n")
    if done.code or not re.fullmatch(r"\d{1,3}", code):
        raise runner.Failed(f"the instance does not run commands: {done.err or done.out or 'it says nothing'}", "error")
    if not wanted:
        print(said, end="" if said.endswith("\n") else "\n", flush=True)
    if report and (written := fetched()):
        Path(report).write_bytes(written)
    return int(code), said.encode()


def fetched() -> bytes:
    """The JUnit report that the command left; empty if it left none."""
    text, size = "", 1
    for number in range(PARTS):
        done = on_instance(
            f"[ -f {REPORT} ] || exit 0; gzip -c < {REPORT} | base64 | tr -d '\\n' > {REPORT}.packed; "
            f"wc -c < {REPORT}.packed; tail -c +{1 + number * SHOWN} {REPORT}.packed | head -c {SHOWN}"
        )
        total, _, part = done.out.partition("\n")
        if not total:
            return b""
        size, text = int(total), text + part.strip()
        if len(text) >= size:
            break
    if len(text) != size:
        raise runner.Failed(f"the report has more than {PARTS * SHOWN} bytes, packed", "error")
    inflate = zlib.decompressobj(wbits=31)
    return inflate.decompress(base64.b64decode(text, validate=True), 32 * 2**20)


def main() -> int:
    words = sys.argv[1:]
    try:
        if words not in ([], ["-h"], ["--help"]):
            bring(Path(words[1]) if words[0] == "--each" and len(words) == 2 else Path.cwd())
        return inside.main(__doc__, run, words)
    except (runner.Failed, ValueError, OSError, zlib.error) as problem:
        print(f"in-image: {runner.inert(str(problem))}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
