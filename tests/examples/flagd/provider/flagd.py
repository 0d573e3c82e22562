"""The release's documents as flagd's flags, in the component's bucket: python3 provider/flagd.py preview|deploy"""

import difflib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

FOLDER, HERE = Path("configuration"), os.environ["DPRA_ENVIRONMENT"]
BUCKET = "{DPRA_COMPONENT}-flags-{DPRA_ACCOUNT}-{DPRA_REGION}".format_map(os.environ)
OBJECT = f"s3://{BUCKET}/flags.json"
WORD = re.compile(r'[()\[\]]|"(?:[^"\\]|\\.)*"|[^\s,()\[\]"]+')
SAME = {"and": "and", "or": "or", "not": "!", "eq": "===", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "in": "in"}
SAME |= {"begins_with": "starts_with", "ends_with": "ends_with"}


def aws(*words, check=True, **more):
    return subprocess.run(["aws", *words], stdout=subprocess.PIPE, text=True, check=check, **more)


def targeting(words):
    """A rule of AppConfig's as JSON logic. What flagd cannot say is refused: nobody gets what was not meant."""
    word = words.pop(0)
    if word == "(":
        operator = words.pop(0)
        if operator not in {*SAME, "contains"}:
            sys.exit(f"flagd has no rule ({operator} ...): say it in another way")
        given = rest(words, ")")
        said = {"in": given[::-1]} if operator == "contains" else {SAME[operator]: given}
        known = [{"!==": [one, None]} for one in given if operator[:2] in ("gt", "lt") and isinstance(one, dict)]
        return {"and": [*known, said]} if known else said  # to JSON logic, what is not known is 0
    if word == "[":
        return rest(words, "]")
    if word.startswith("$"):
        return {"var": word[1:]}
    try:
        return json.loads(word)
    except ValueError:
        sys.exit(f"flagd has no value like {word}: say it in another way")


def rest(words, end):
    found = []
    while words[0] != end:
        found.append(targeting(words))
    words.pop(0)
    return found


def flag(name, value):
    """A flag's switch as a boolean flag, each of its attributes as a flag `<flag>.<attribute>`."""
    rules, variants = [], {}
    whole = {"name": "default", "enabled": value.pop("enabled", False), "attributeValues": value}
    for one in value.pop("_variants", [whole]):
        variants[one["name"]] = {"": one["enabled"], **one.get("attributeValues", {})}
        if "rule" in one:
            rules += [targeting(WORD.findall(one["rule"])), one["name"]]
    for key in dict.fromkeys(key for one in variants.values() for key in one):
        if missing := [variant for variant, one in variants.items() if key not in one]:
            sys.exit(f"{name}: {', '.join(missing)} has no {key}, and flagd wants a value in each variant")
        made = {"state": "ENABLED", "variants": {variant: one[key] for variant, one in variants.items()}}
        made |= {"defaultVariant": "default", **({"targeting": {"if": [*rules, "default"]}} if rules else {})}
        yield f"{name}.{key}" if key else name, made


def document():
    """What flagd reads: the flags, and each document of operational configuration as a flag of its profile's name."""
    flags = {}
    for profile in json.loads((FOLDER / "index.json").read_bytes())["profiles"]:
        text = (FOLDER / HERE / profile["file"]).read_text("utf-8")
        if profile["type"] == "AWS.AppConfig.FeatureFlags":
            for name, value in json.loads(text)["values"].items():
                flags.update(flag(name, value))
        elif profile["name"] in flags:
            sys.exit(f"{profile['name']} is a flag and a profile: call one of them otherwise")
        else:
            content = json.loads(text) if profile["content-type"] == "application/json" else text
            flags[profile["name"]] = {"state": "ENABLED", "variants": {"all": content}, "defaultVariant": "all"}
    made = {"$schema": "https://flagd.dev/schema/v0/flags.json", "flags": flags}
    return json.dumps(made, indent=2, sort_keys=True) + "\n"


def delivered():
    """What the provider reads now; empty where there is nothing yet."""
    read = aws("s3", "cp", OBJECT, "-", check=False, stderr=subprocess.PIPE)
    if read.returncode and not re.search("404|NoSuchBucket", read.stderr):
        sys.exit(read.stderr)
    return read.stdout


def deploy(text):
    """The bucket, then one object: the flags and the digest of their release change at the same moment."""
    stack = ["--stack-name", f"{os.environ['DPRA_COMPONENT']}-flags", "--template-file", "infrastructure/template.yml"]
    aws("cloudformation", "deploy", *stack, "--parameter-overrides", f"Bucket={BUCKET}", "--no-fail-on-empty-changeset")
    about = "digest={DPRA_DIGEST},commit={DPRA_COMMIT}".format_map(os.environ)
    aws("s3", "cp", "-", OBJECT, "--content-type", "application/json", "--metadata", about, input=text)
    Path(os.environ["DPRA_OUTPUTS"]).write_text(json.dumps({"Object": OBJECT, "Flags": delivered()}))


if __name__ == "__main__":
    wanted = document()
    if sys.argv[1] == "deploy":
        deploy(wanted)
    else:
        changed = difflib.unified_diff(delivered().splitlines(), wanted.splitlines(), "now", "then", lineterm="")
        print("\n".join(changed) or "no changes")
