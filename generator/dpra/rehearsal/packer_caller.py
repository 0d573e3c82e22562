"""What a rehearsal calls packer: see packer.py. Standard library only: it runs in the jobs."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING or __package__:
    from dpra.rehearsal import hcl
else:  # it stands beside this file, and its package is not there
    sys.path.insert(0, str(Path(__file__).parent))
    import hcl

BUILDER, SUFFIX = "amazon-ebs", ".pkr.hcl"
# What later versions of Packer and of its plugin know and Debian's 1.6.6 does not. Nothing of the image depends on it.
LATER = ("deprecate_at", "deregistration_protection", "imds_support", "metadata_options", "temporary_key_pair_bits")
LATER_BLOCKS = ("hcp_packer_registry",)
LATER_OPTIONS = ("-evaluate-datasources", "-ignore-prerelease-plugins", "-no-warn-undeclared-var", "-skip-enforcement",
                 "-warn-on-undeclared-var")  # fmt: skip
TAKE_TEMPLATES = "build validate".split()
# Without a session nothing comes in: no security group of the pipeline's has an open port.
CLOSED = {"ssh_host": "127.0.0.1", "ssh_port": 9, "ssh_timeout": "10s"}
OPEN = ("associate_public_ip_address", "ssh_bastion_host", "ssh_interface", "ssh_proxy_host", *CLOSED)


def edited(text: str, endpoint: str) -> str:
    """A template as 1.6.6 knows it, whose builders ask the rehearsal's AWS.

    Args:
        endpoint: the URL of the rehearsal's AWS."""
    gone: list[tuple[int, int, str]] = []  # from, to, and what takes its place
    for part in hcl.parts(text):
        match part.words:
            case ("packer",):
                gone.append((part.start, part.end, ""))
            case ("source", kind, *_) if kind == BUILDER:
                gone += source(text, part, endpoint)
            case (_, *_):
                inner = hcl.parts(text, part.inside, part.end - 1)
                gone += [(one.start, one.end, "") for one in inner if one.words[:1] and one.words[0] in LATER_BLOCKS]
    for start, end, instead in sorted(gone, reverse=True):
        kept = "\n" * text.count("\n", start, end)  # so that a line has the number that the user knows
        text = f"{text[:start]}{instead}{kept}{text[end:]}"
    return text


def source(text: str, part: hcl.Part, endpoint: str) -> Iterator[tuple[int, int, str]]:
    said = {"custom_endpoint_ec2": endpoint, "skip_region_validation": True, "skip_metadata_api_check": True}
    inner = list(hcl.parts(text, part.inside, part.end - 1))
    by_session = any(
        one.words == ("ssh_interface",) and '"session_manager"' in text[one.start : one.end] for one in inner
    )
    without = (*LATER, *said)
    if not by_session:
        said, without = {**said, **CLOSED}, (*without, *OPEN)
    lines = "".join(f"\n{key} = {json.dumps(value)}" for key, value in said.items())
    yield part.end - 1, part.end - 1, f"{lines}\n"
    yield from ((one.start, one.end, "") for one in inner if one.words and one.words[0] in without)


def plugins(folder: Path) -> Iterator[str]:
    """What a template wants of Packer and its plugins, in its own words."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        text = path.read_text(encoding="utf-8")
        for part in (one for one in hcl.parts(text) if one.words == ("packer",)):
            for wanted in hcl.parts(text, part.inside, part.end - 1):
                if wanted.words == ("required_plugins",):
                    yield from (
                        " ".join(text[one.start : one.end].split())
                        for one in hcl.parts(text, wanted.inside, wanted.end - 1)
                    )


def copied(template: Path, endpoint: str) -> Path:
    """A copy of the template's folder, edited, with its neighbours beside it: ${path.root}/../ is what it was.

    Returns:
        The template's place in it. It ends with the rehearsal, as all in its folder for temporary files."""
    folder = (template if template.is_dir() else template.parent).resolve()
    beside = Path(tempfile.mkdtemp())
    for other in folder.parent.iterdir():
        if other.name != folder.name:
            (beside / other.name).symlink_to(other)
    copy = beside / (folder.name or "template")
    shutil.copytree(folder, copy, symlinks=True)
    for path in copy.glob(f"*{SUFFIX}"):
        path.write_text(edited(path.read_text(encoding="utf-8"), endpoint), encoding="utf-8")
    return copy if template.is_dir() else copy / template.name


def short(folder: str) -> str:
    """Another name of a folder, as long as this process lives.

    Packer's sockets lie there, and their paths have room for 107 bytes."""
    descriptor = os.open(folder, os.O_DIRECTORY)
    os.set_inheritable(descriptor, True)
    return f"/proc/{os.getpid()}/fd/{descriptor}"


def main() -> None:
    real, words = os.environ["DPRA_REHEARSAL_PACKER"], sys.argv[1:]
    command, template = (words[0] if words else ""), Path(words[-1] if words else ".")
    if command == "init":
        folder = template if template.is_dir() else template.parent
        wanted = list(plugins(folder))
        for one in wanted or ["nothing"]:
            print(f"packer init would fetch {one}; the rehearsal's Packer 1.6.6 brings {BUILDER}")
        return
    if command in TAKE_TEMPLATES and template.exists():
        kept = [word for word in words[:-1] if word.partition("=")[0] not in LATER_OPTIONS]
        words = [*kept, str(copied(template, os.environ["AWS_ENDPOINT_URL"]))]
    os.environ |= {"CHECKPOINT_DISABLE": "1", "TMPDIR": short(tempfile.gettempdir())}
    os.execv(real, ["packer", *words])  # noqa: S606 - in place of this program: signals and streams are Packer's own


if __name__ == "__main__":
    main()
