"""Takes the golden image that a component is made on, and tells that there is a newer one."""

import base64
import json
import os
import sys
import tempfile
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import aws
import dockerfile
import evidence
import github
import image
import issues
import release
import runner
import session
import store

LABEL = "base-image"


def name() -> str:
    return runner.required("IMAGE")


def reader() -> dict[str, str]:
    """The environment of who may read the image's parameters."""
    return session.chained("base", runner.required("READER"), image_region())


def image_region() -> str:
    return runner.required("IMAGE_REGION")


def latest(env: Mapping[str, str]) -> tuple[str, str]:
    """The version of the image that `latest` names, and what it is where it is asked for.

    Raises:
        runner.Failed: there is none, or it may not be read.
    """
    try:
        answer = aws.call_as(env, image_region(), "ssm", "get-parameters-by-path", Path=f"/images/{name()}")
    except aws.Refused as refused:
        raise runner.Failed(
            f"the parameters of the image {name()} cannot be read as {runner.required('READER')}: is this account in "
            f"image.accounts of its dpra.yml, and were its accounts deployed since? {refused}"
        ) from refused
    there = {str(one["Name"]).rpartition("/")[2]: str(one["Value"]) for one in answer["Parameters"]}
    value = there.get(image.LATEST, "")
    versions = [word for word, said in there.items() if image.VERSION.fullmatch(word) and said == value]
    if not versions:
        raise runner.Failed(f"no version of the image {name()} is the latest in {image_region()}: was one published?")
    return max(versions, key=lambda one: [int(part) for part in image.semantic(one).split(".")]), value


def take() -> None:
    """Put the AMIs of the latest version into the release, one for each region that gets it."""
    with evidence.recorded("base-image", tool="AWS Systems Manager") as facts:
        env = reader()
        version, _ = latest(env)
        amis = {region: ami(env, region, version) for region in runner.required("REGIONS").split()}
        said = {"image": name(), "version": version, "amis": amis}
        path = Path(runner.required("RELEASE")) / release.BASE
        path.write_text(json.dumps(said, sort_keys=True) + "\n", encoding="utf-8")
        facts["where"] = f"{name()} {version}"
        rows = [(runner.code(region), runner.code(one)) for region, one in amis.items()]
        runner.summary(f"made on {runner.code(f'{name()} {version}')}", ("region", "AMI"), rows)
        runner.say(f"the release is made on {name()} {version}: {', '.join(amis.values())}")


def ami(env: Mapping[str, str], region: str, version: str) -> str:
    asked = f"/images/{name()}/{version}"
    try:
        found = str(aws.call_as(env, region, "ssm", "get-parameter", Name=asked)["Parameter"]["Value"])
    except aws.Refused as refused:
        if refused.code != "ParameterNotFound":
            raise
        raise runner.Failed(
            f"{name()} {version} is not in {region}, where {runner.required('COMPONENT')} runs: its pipeline must "
            "publish it there (environments.prod.regions)"
        ) from refused
    if not image.AMI.fullmatch(found):
        raise runner.Failed(
            f"{asked} in {region} is '{found}' and no AMI: a container's image is named by its Dockerfile"
        )
    return found


# ---- Telling


def watch() -> None:
    """Say by an issue that the image moved on; without one where nothing is older than it."""
    with evidence.recorded("base-image", tool="AWS Systems Manager") as facts:
        component = runner.required("COMPONENT")
        title = f"{component}: a newer base image {name()}"
        version, value = latest(reader())
        older = of_release(version) if runner.given("REGIONS") else of_file(value)
        facts["findings"] = {"older": len(older)} if older else {}
        if not older:
            runner.say(f"{component} is made on {name()} {version}, the latest")
            issues.close(one for one in issues.opened(LABEL) if one["title"] == title)
            return
        rows = "\n".join(f"- {one}" for one in older)
        runner.warning(f"the base image {name()} is {version} now", title="base image")
        body = f"The base image `{name()}` is **{version}** now.\n\n{rows}\n"
        issues.keep(issues.opened(LABEL), title, LABEL, body)


def of_release(version: str) -> list[str]:
    """What is older: the last release that was stored."""
    region, bucket, component = (runner.required(one) for one in ("REGION", "BUCKET", "COMPONENT"))
    if not (digest := store.newest(region, bucket, component, release.BASE)):
        runner.say("no release is stored that is made on it")
        return []
    with tempfile.TemporaryDirectory(dir=runner.temp()) as folder:
        store.fetch(region, bucket, component, digest, release.BASE, Path(folder))
        said: dict[str, Any] = json.loads((Path(folder) / release.BASE).read_bytes())
    if (said["image"], said["version"]) == (name(), version):
        return []
    return [
        f"The last release, `{digest[:12]}`, is made on `{said['image']} {said['version']}`. The next one takes the "
        "latest by itself: push a commit, or start one of the same commit with `gh workflow run pipeline.yml`."
    ]


def of_file(value: str) -> list[str]:
    """What is older: lines of the Dockerfile as the trunk has it, each with what it should be."""
    file = runner.required("FILE")
    asked = f"contents/{urllib.parse.quote(file)}?ref={os.environ['GITHUB_SHA']}"
    text = base64.b64decode(github.call(asked)["content"]).decode("utf-8", "replace")
    repository, _, digest = value.partition("@")
    if not image.DIGEST.fullmatch(digest):
        raise runner.Failed(f"the latest {name()} is '{value}' and no container's image")
    account = repository.partition(".")[0]
    named = [(line, *base.split("@")) for line, base in dockerfile.golden(text, account, name())]
    if not named:
        raise runner.Failed(f"no FROM in {file} names {repository} by its digest: it is not made on {name()}", "error")
    return [
        f"`{file}`, line {line}, is made on `{there}`. Write `FROM {where}@{digest}`."
        for line, where, there in named
        if there != digest
    ]


DUTIES = {"take": take, "watch": watch}

runner.perform(DUTIES, "base image")
