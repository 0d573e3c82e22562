"""Templates of Packer held against rules: a JSON line for each finding, as sarif.py takes it.

packer_template.py LIST RULES...: the names of the templates, and of the scripts beside them, go to LIST; they are all
of the folder `packer` of $SETTINGS. They are data: nothing in them is run. Of RULES those of $ACTION count, of other
files than the first those for the text of commands.
Source: https://developer.hashicorp.com/packer/docs/templates/hcl_templates
"""

import json
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent))
import hcl2
import shell
from hcl2.rules.base import AttributeRule, BlockRule
from lark.exceptions import LarkError

TEMPLATE = ".pkr.hcl"
UNREAD = (".pkr.json", ".auto.pkrvars.hcl", ".auto.pkrvars.json")  # what Packer reads of a folder besides
BUILDER = "amazon-ebs"
EXACT, OFFICIAL = re.compile(r"(= ?)?\d+\.\d+\.\d+"), re.compile(r"github\.com/hashicorp/[a-z0-9-]+")
TOLD = {  # attributes of the source, and what they must be
    "region": "region",
    "source_ami": "parent",
    "ami_name": "name",
    "instance_type": "instance_type",
    "iam_instance_profile": "profile",
    "security_group_id": "security_group",
    "subnet_id": "subnet",
    **dict.fromkeys(("tags", "run_tags", "run_volume_tags", "snapshot_tags"), "tags"),
}
INSTEAD = ("source_ami_filter", "security_group_ids", "security_group_filter", "subnet_filter", "skip_create_ami",
           "skip_ami_run_tags", "temporary_iam_instance_profile_policy_document")  # fmt: skip
KEYS = ("access_key", "secret_key", "token", "profile", "shared_credentials_file", "assume_role", "vault_aws_engine",
        "assume_role_with_web_identity", "ssh_password", "ssh_private_key_file", "custom_endpoint_ec2")  # fmt: skip
OPEN = ("temporary_security_group_source_cidrs", "temporary_security_group_source_public_ip", "ssh_host",
        "associate_public_ip_address", "ssh_bastion_host", "ssh_proxy_host")  # fmt: skip
SHARED = ("ami_users", "ami_groups", "ami_org_arns", "ami_ou_arns", "ami_regions", "ami_product_codes",
          "snapshot_users", "snapshot_groups")  # fmt: skip
FORCED = ("force_deregister", "force_delete_snapshot")
# What runs where the image is made, and what only writes down what was made.
PROVISIONERS = ("shell", "file", "ansible-local", "puppet-masterless", "salt-masterless")
POST_PROCESSORS = ("manifest", "checksum")
SOME = re.compile(r"\$\{.*?\}|\{\{.*?\}\}|<%.*?%>")  # what Packer puts something in place of


@dataclass(frozen=True)
class Attribute:
    name: str
    line: int
    value: Any  # as hcl2 has it: texts with their quotes, expressions as ${...}


@dataclass(frozen=True)
class Block:
    """A block; of a file the whole, which has no words."""

    words: Sequence[str]  # its kind, then its labels
    line: int
    file: str
    attributes: list[Attribute] = field(default_factory=list)
    blocks: list["Block"] = field(default_factory=list)

    def get(self, name: str) -> Attribute | None:
        return next((one for one in self.attributes if one.name == name), None)

    def of(self, *words: str) -> list["Block"]:
        return [one for one in self.blocks if tuple(one.words[: len(words)]) == words]


@dataclass(frozen=True)
class Script:
    """Text of a shell: a file, or what stands in a template from a line on."""

    file: str
    line: int
    text: str
    alone: bool = False  # each line has the place of the first


Found = Iterator[tuple[str, int, str]]  # file, line, and what more there is to say


# ---- Reading


def block(rule: Any, words: Sequence[str], line: int, file: str) -> Block:
    made = Block(words, line, file)
    for one in rule.children:
        if isinstance(one, AttributeRule):
            at = Attribute(one.identifier.serialize(), one._meta.line, one.expression.serialize())
            made.attributes.append(at)
        elif isinstance(one, BlockRule):
            labels = [unquoted(label.serialize()) for label in one.labels]
            made.blocks.append(block(one.body, labels, one._meta.line, file))
    return made


def unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def text(value: Any) -> str:
    """The text that a value is; empty where it is an expression, or none."""
    if not isinstance(value, str) or not value.startswith('"'):
        return ""
    inner = unquoted(value)
    if heredoc := re.fullmatch(r"<<[-~]?\s*(\w+)\n(.*?)\n?\s*\1\s*", inner, re.DOTALL):
        return heredoc[2]
    escaped = {"n": "\n", "t": "\t", "r": "\r"}
    return re.sub(r"\\(.)", lambda found: escaped.get(found[1], found[1]), inner)


def expression(value: Any) -> str:
    """A value without what makes a text of it: var.x of "${var.x}", and of var.x."""
    inner = unquoted(value) if isinstance(value, str) else ""
    whole = re.fullmatch(r"\$\{\s*([^${}]*(?:\{[^${}]*\}[^${}]*)*)\s*\}", inner, re.DOTALL)
    return whole[1].strip() if whole else inner


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def every(blocks: Sequence[Block]) -> Iterator[Block]:
    for one in blocks:
        yield one
        yield from every(one.blocks)


class Template:
    """All templates of a folder, which Packer reads as one, and the scripts in it."""

    def __init__(self, files: list[Block], scripts: list[Script], folder: str, unread: list[str]) -> None:
        self.files, self.folder, self.unread, self.files_of_scripts = files, folder, unread, scripts
        self.blocks = [one for file in files for one in file.blocks]

    def of(self, *words: str) -> list[Block]:
        return [one for one in self.blocks if tuple(one.words[: len(words)]) == words]

    @property
    def sources(self) -> list[Block]:
        """The sources, and what builds say of them besides."""
        return [*self.of("source"), *(one for build in self.of("build") for one in build.of("source"))]

    @property
    def steps(self) -> list[Block]:
        return [one for build in self.of("build") for one in every(build.blocks) if "provisioner" in one.words[0]]

    @property
    def scripts(self) -> list[Script]:
        found = [*self.files_of_scripts]
        for step in self.steps:
            if step.words[1:2] == ["shell"] and (inline := step.get("inline")):
                lines = [text(one) or expression(one) for one in listed(inline.value)]
                found.append(Script(step.file, inline.line, "\n".join(lines), alone=True))
        return found


# ---- Form


def one_image(all_: Template) -> Found:
    for kind in ("source", "build"):
        there = all_.of(kind)
        if len(there) != 1:
            place = there[1] if there else all_.files[0]
            yield place.file, place.line, f"there are {len(there)} blocks '{kind}'"
    for build in all_.of("build"):
        sources = build.get("sources")
        if sources and len(listed(sources.value)) != 1:
            yield build.file, sources.line, f"{len(listed(sources.value))} sources"


def twice(all_: Template) -> Found:
    for one in every(all_.files):
        names = [attribute.name for attribute in one.attributes]
        for number, attribute in enumerate(one.attributes):
            if attribute.name in names[:number]:
                yield one.file, attribute.line, attribute.name


# ---- What runs on the runner


def plugins(all_: Template) -> Iterator[tuple[Block, Attribute]]:
    for one in all_.of("packer"):
        for wanted in one.of("required_plugins"):
            yield from ((wanted, attribute) for attribute in wanted.attributes)


def plugin_version(all_: Template) -> Found:
    there = list(plugins(all_))
    if not there:
        yield all_.files[0].file, 1, "there is no required_plugins"
    for wanted, one in there:
        said = one.value.get("version") if isinstance(one.value, dict) else one.value
        if not EXACT.fullmatch(text(said).strip()):
            yield wanted.file, one.line, f"{one.name}: {text(said) or 'none'}"


def plugin_source(all_: Template) -> Found:
    for wanted, one in plugins(all_):
        said = text(one.value.get("source")) if isinstance(one.value, dict) else ""
        if not OFFICIAL.fullmatch(said):
            yield wanted.file, one.line, f"{one.name}: {said or 'none'}"


def on_the_runner(all_: Template) -> Found:
    for one in all_.steps:
        kind = one.words[1] if len(one.words) > 1 else ""
        if kind not in PROVISIONERS:
            yield one.file, one.line, f"{one.words[0]} '{kind}'"
    for one in (other for build in all_.of("build") for other in every(build.blocks)):
        kind = one.words[1] if len(one.words) > 1 else ""
        if one.words[0] == "post-processor" and kind not in POST_PROCESSORS:
            yield one.file, one.line, f"post-processor '{kind}'"
    for one in all_.of("data"):
        if one.words[1:2] == ["external"]:
            yield one.file, one.line, "data 'external'"


def unread(all_: Template) -> Found:
    yield from ((name, 1, "") for name in all_.unread)


def named(all_: Template, names: Sequence[str], blocks: Sequence[Block] | None = None) -> Found:
    """Where sources say one of these, as attribute or as block, however deep."""
    for one in every(all_.sources if blocks is None else blocks):
        yield from ((one.file, at.line, at.name) for at in one.attributes if at.name in names)
        word = one.words[1] if one.words[0] == "dynamic" and len(one.words) > 1 else one.words[0]
        if word in names:
            yield one.file, one.line, word


def credentials(all_: Template) -> Found:
    return named(all_, KEYS, [*all_.sources, *all_.of("data")])


# ---- What the pipeline tells


def undeclared(all_: Template) -> Found:
    if not all_.of("variable", "dpra"):
        yield all_.files[0].file, 1, ""


def builder(all_: Template) -> Found:
    for one in all_.of("source"):
        if one.words[1:2] != [BUILDER]:
            yield one.file, one.line, " ".join(one.words[1:])
    for build in all_.of("build"):
        places = [(text(one), at.line) for at in build.attributes if at.name == "sources" for one in listed(at.value)]
        places += [(one.words[1] if len(one.words) > 1 else "", one.line) for one in build.of("source")]
        for said, line in places:
            if not re.fullmatch(rf"(source\.)?{BUILDER}\.[\w-]+", said):
                yield build.file, line, said


def not_told(all_: Template) -> Found:
    for one in all_.of("source", BUILDER):
        for name, wanted in TOLD.items():
            at, must = one.get(name), f"var.dpra.{wanted}"
            said = expression(at.value) if at else ""
            more = wanted == "tags" and re.fullmatch(rf"merge\(.*,\s*{re.escape(must)}\s*\)", said, re.DOTALL)
            if said != must and not more:
                yield one.file, at.line if at else one.line, f"{name} = {must}"
    told = (*TOLD, *INSTEAD)
    more_of = [one for build in all_.of("build") for one in build.of("source")]
    yield from ((file, line, f"{name} beside it") for file, line, name in named(all_, told, more_of))
    for file, line, name in named(all_, INSTEAD, all_.of("source")):
        yield file, line, f"{name} in place of it"


def open_port(all_: Template) -> Found:
    for one in all_.of("source", BUILDER):
        at = one.get("ssh_interface")
        if not at or text(at.value) != "session_manager":
            yield one.file, at.line if at else one.line, ""
        communicator = one.get("communicator")
        if communicator and text(communicator.value) != "ssh":
            yield one.file, communicator.line, f"communicator {text(communicator.value)}"
    yield from named(all_, OPEN)


def publishing(all_: Template) -> Found:
    return named(all_, SHARED)


def replacing(all_: Template) -> Found:
    return named(all_, FORCED)


def metadata(all_: Template) -> Found:
    for one in all_.of("source", BUILDER):
        said = [text(at.value) for options in one.of("metadata_options") if (at := options.get("http_tokens"))]
        if said != ["required"]:
            yield one.file, one.line, ""


# ---- Scripts


def scripts(all_: Template) -> Found:
    there = {script.file for script in all_.files_of_scripts}
    for step in all_.steps:
        if step.words[1:2] == ["shell"]:
            for at in (at for at in step.attributes if at.name in ("script", "scripts")):
                for one in listed(at.value):
                    name = re.sub(r"^\$\{\s*path\.root\s*\}/", "", text(one))
                    path = os.path.normpath(f"{all_.folder}/{name}") if all_.folder else os.path.normpath(name)
                    if name == text(one) or path not in there:
                        yield step.file, at.line, text(one) or expression(one) or "an expression"


def ignored(all_: Template) -> Found:
    for step in all_.steps:
        codes = step.get("valid_exit_codes")
        if codes and [code for code in listed(codes.value) if str(code) != "0"]:
            yield step.file, codes.line, "valid_exit_codes"
        command = step.get("execute_command")
        if command and re.search(r"\|\|\s*(true|:)", text(command.value)):
            yield step.file, command.line, "execute_command"


CHECKS: dict[str, Callable[[Template], Found]] = {
    one.__name__: one
    for one in (
        *(one_image, twice, plugin_version, plugin_source, on_the_runner, unread, credentials, undeclared, builder),
        *(not_told, open_port, publishing, replacing, metadata, scripts, ignored),
    )
}


def judged(all_: Template, rules: Sequence[Mapping[str, str]]) -> Iterator[dict[str, Any]]:
    for rule in rules:
        if "pattern" in rule:
            found: Found = (
                (script.file, script.line + (0 if script.alone else line - 1), what)
                for script in all_.scripts
                for what, line in shell.matches(script.text, rule["pattern"])
            )
        else:
            found = CHECKS[rule["check"]](all_)
        for file, line, more in found:
            about = f"{rule['title']}: {more}" if more else rule["title"]
            yield {"rule": rule["id"], "severity": rule["severity"], "text": about, "file": file, "line": line}
    if os.environ["ACTION"] == "code-quality":
        for script in all_.scripts:
            for rule_, message, line in shell.checked(SOME.sub("value", script.text) if script.alone else script.text):
                yield {
                    **rule_,
                    "text": message,
                    "file": script.file,
                    "line": script.line + (line - 1) * (not script.alone),
                }


def is_script(path: Path) -> bool:
    return path.suffix in (".sh", ".bash") or re.match(rb"#![^\n]*sh\b", path.read_bytes()[:100]) is not None


def main() -> None:
    root, folder = Path(os.environ["TARGET"]), str(json.loads(os.environ["SETTINGS"]).get("packer", ""))
    paths = [path for path in sorted((root / folder).rglob("*")) if path.is_file()]
    templates = [path for path in paths if path.parent == root / folder and path.name.endswith(TEMPLATE)]
    inside = [path for path in paths if path.resolve().is_relative_to(root.resolve())]
    shells = [path for path in inside if path not in templates and is_script(path)]

    def name(path: Path) -> str:
        return path.relative_to(root).as_posix()

    Path(sys.argv[1]).write_bytes(b"".join(os.fsencode(name(path)) + b"\0" for path in (*templates, *shells)))
    if not templates:
        sys.exit(
            f"There is no Packer template (*{TEMPLATE}) in {folder}: create one, or say image.components in dpra.yml"
        )
    files, found, scripts_ = list[Block](), list[dict[str, Any]](), list[Script]()
    for path in (path for path in templates if path in inside):  # of another one it is not-checked
        try:
            files.append(block(hcl2.parses(path.read_text(encoding="utf-8")).body, (), 1, name(path)))
            found.append({"looked": name(path)})
        except (LarkError, RecursionError, RuntimeError, ValueError) as problem:
            line, why = getattr(problem, "line", 1), str(problem).strip().partition("\n")[0]
            told = {"rule": "not-checked", "severity": "high", "text": f"cannot be read: {why}"}
            found.append({**told, "file": name(path), "line": max(1, line)})
    for path in shells:
        scripts_.append(Script(name(path), 1, path.read_text(encoding="utf-8", errors="replace")))
        found.append({"looked": name(path)})
    if len(files) == len(templates):  # of some of them nobody knows what the others say
        others = [name(path) for path in paths if path.parent == root / folder and path.name.endswith(UNREAD)]
        rules = [one for path in sys.argv[2:3] for one in loaded(path)]
        rules += [one for path in sys.argv[3:] for one in loaded(path) if "pattern" in one]
        where = Path(folder).as_posix() if folder else ""
        found += judged(Template(files, scripts_, where, others), rules)
    for one in found:
        print(json.dumps(one))


def loaded(path: str) -> list[Mapping[str, str]]:
    rules = tomllib.loads(Path(path).read_text(encoding="utf-8"))["rules"]
    return [one for one in rules if one["action"] == os.environ["ACTION"]]


if __name__ == "__main__":
    main()
