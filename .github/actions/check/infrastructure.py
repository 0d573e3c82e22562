"""Copies of the code of infrastructure, for tools that obey what lies or stands beside it.

Made of the Terraform, the Dockerfiles or the CloudFormation ($DPRA_LANGUAGE says which; it is printed) into
$TMPDIR/code: no configuration lies there, and no comment in them lets a finding through. $TMPDIR/files has the names
that are to be looked at, $TMPDIR/places.json for each copy its name, and after which line one was added. Each file of
Terraform and, with --canary, each template gets a bucket that everybody may read: a tool that does not find that did
not read the file.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

COMMENTS = re.compile(rb"\b(trivy|tfsec|cfsec|checkov)(\s*):(\s*)(ignore|skip)\b")
CANARY = '\nresource "aws_s3_bucket" "dpra_canary_{}" {{\n  bucket = "dpra"\n  acl    = "public-read"\n}}\n'
TARGET, PRIVATE, CHECK = (Path(os.environ[name]) for name in ("TARGET", "TMPDIR", "CHECK"))
BLOCK = re.compile(rb"^Resources:[ \t]*(?:#.*)?\r?\n(?:[ \t]*(?:#.*)?\r?\n)*([ ]+)[^\s#]", re.MULTILINE)
FLOW = re.compile(rb"""^[\s{]*["']?Resources["']?\s*:\s*\{(\s*\})?""", re.MULTILINE)
BUCKET = b'"DpraCanary": {"Type": "AWS::S3::Bucket", "Properties": {"AccessControl": "PublicRead"}}'
KINDS = {"terraform": "terraform", "container": "dockerfile"}


def listed(kind: str) -> list[str]:
    """Names of what is to be looked at."""
    file = os.environ.get("TOOL_FILE", "")
    script = {"terraform": ["files.py", "terraform"], "dockerfile": ["files.py", "container"]}
    words = script.get(kind, ["templates.py"])
    ran = subprocess.run(
        [sys.executable, "-I", "-B", str(CHECK / words[0]), *words[1:]], stdout=subprocess.PIPE, check=True
    )
    names = [os.fsdecode(name) for name in ran.stdout.split(b"\0") if name]
    if kind != "cloudformation" and file:
        beginning = "" if (file := os.path.normpath(file)) == "." else f"{file}/"
        inside = [name for name in names if name == file or name.startswith(beginning)]
        # A template beside Dockerfiles is not theirs: it takes none of them away.
        names = inside if inside or kind == "terraform" else names
    return names


def plain(part: str) -> str:
    """Folders that tools pass over are called otherwise."""
    return f"in-{part.strip('.')}" if part.startswith(".") or part == "node_modules" else part


def with_canary(content: bytes, name: str, number: int) -> bytes:
    if not name.lower().endswith(".json"):
        return content + CANARY.format(number).encode()
    document = json.loads(content)
    bucket = {"bucket": "dpra", "acl": "public-read"}
    document.setdefault("resource", {}).setdefault("aws_s3_bucket", {})[f"dpra_canary_{number}"] = bucket
    return json.dumps(document, indent=1).encode()


def with_bucket(content: bytes) -> tuple[bytes, int]:
    """The template with the bucket, where it is seen to fit, and the line after which one was added, if any."""
    if block := BLOCK.search(content):
        end = content.index(b"\n", block.start()) + 1
        line = block[1] + BUCKET + b"\n"
        return content[:end] + line + content[end:], content.count(b"\n", 0, end)
    if flow := FLOW.search(content):
        at = content.index(b"{", content.index(b"Resources", flow.start())) + 1
        return content[:at] + BUCKET + (b"" if flow[1] else b", ") + content[at:], 0
    return content, 0


def main() -> None:
    kind = next((KINDS[one] for one in KINDS if one in os.environ["DPRA_LANGUAGE"].split()), "cloudformation")
    names, places = listed(kind), {}
    for number, name in enumerate(names):
        copy = PRIVATE.joinpath("code", *map(plain, Path(name).parts))
        if kind == "dockerfile":
            copy = PRIVATE / "code" / str(number) / "Dockerfile"
        elif kind == "cloudformation":
            ending = "json" if name.lower().endswith(".json") else "yaml"
            copy = PRIVATE / "code" / str(number) / f"template.{ending}"
        try:
            content = COMMENTS.sub(rb"\1\2_\3\4", (TARGET / name).read_bytes())
            after = 0
            if kind == "terraform":
                content = with_canary(content, name, number)
            elif kind == "cloudformation" and "--canary" in sys.argv:
                content, after = with_bucket(content)
        except (OSError, ValueError, AttributeError, TypeError):
            continue  # not-checked, then
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
        places[str(copy)] = [name, after]
    (PRIVATE / "code").mkdir(exist_ok=True)
    (PRIVATE / "files").write_bytes(b"".join(os.fsencode(name) + b"\0" for name in names))
    (PRIVATE / "places.json").write_text(json.dumps(places), encoding="utf-8")
    print(kind)


main()
