"""Makes the image of a machine, starts what it is tested on, and ends that again."""

import datetime
import json
import re
import signal
import sys
import tempfile
from pathlib import Path

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "_lib"), str(Path(__file__).resolve().parent)]
import aws
import bake
import evidence
import image
import image_findings
import in_image
import inside
import instances
import labels
import look
import packer
import release
import runner


def made() -> None:
    """Bake an AMI, look into it, and lend it: image.tar is what was seen, image.json says what it is, and
    inspector.json what Amazon Inspector found."""
    with evidence.recorded("build-environment", tool="EC2 Image Builder", region=runner.required("REGION")) as facts:
        for word in (signal.SIGINT, signal.SIGTERM):  # the runner's first and second; a shell may have it ignored
            signal.signal(word, signal.default_int_handler)
        region, account, component = (runner.required(name) for name in ("REGION", "ACCOUNT", "COMPONENT"))
        template, bucket = runner.required("TEMPLATE"), runner.required("BUCKET")
        texts, size = bake.documents(Path(runner.required("COMPONENTS"))), gibibytes()
        inspected = bool(runner.given("INSPECTOR")) and runner.switch("INSPECTOR")
        aws.expect_account(region, account)
        version = image.version()
        builder = bake.Builder(region, component, version)
        parent = bake.parent(region, runner.required("PARENT"))
        recipe = builder.recipe(parent, texts, size)
        arn = builder.build(recipe, runner.required("INFRASTRUCTURE"), inspected)
        facts["where"] = arn
        runner.say(f"building {arn} from {', '.join(texts)}")
        built = builder.built(arn)
        out = Path(tempfile.mkdtemp(dir=runner.temp()))
        if inspected:
            found = image_findings.write(out / release.INSPECTOR, arn, built.ami, builder.findings(arn))
            runner.say(f"findings of Amazon Inspector, which the vulnerability assessment judges: {found}")
        facts["where"] = built.ami
        recipe_digest = bake.recipe_digest(parent.said, texts, size)
        seen(out, version, built, (parent.said, parent.ami), recipe_digest, template, bucket)


def packed() -> None:
    """Have Packer make an AMI of the repository's template."""
    with evidence.recorded("build-environment", tool="Packer", region=runner.required("REGION")) as facts:
        region, component = runner.required("REGION"), runner.required("COMPONENT")
        more = {"instance_type": runner.required("INSTANCE_TYPE"), "profile": runner.required("PROFILE")}
        more["subnet"] = runner.given("SUBNET")
        folder = packer.template(Path(runner.required("COMPONENTS")))
        facts["version"] = packer.version()
        aws.expect_account(region, runner.required("ACCOUNT"))
        version = image.version()
        parent = bake.parent(region, runner.required("PARENT"))
        packer.build(folder, packer.told(region, component, version, parent, **more))
        found = packer.found(region, component)
        if (found.version, found.parent) != (version, parent.ami):
            raise runner.Failed(f"{found.built.ami} has not the tags that the template was told: it must hand them on")
        facts["where"] = found.built.ami
        runner.say(f"{component} {version} is {found.built.ami}, made of {parent.ami}")


def looked() -> None:
    """Look into the AMI that Packer made, and lend it."""
    with evidence.recorded("look", region=runner.required("REGION")) as facts:
        region, component, parent = (runner.required(name) for name in ("REGION", "COMPONENT", "PARENT"))
        template, bucket = runner.required("TEMPLATE"), runner.required("BUCKET")
        recipe = bake.recipe_digest(parent, packer.files(Path(runner.required("COMPONENTS"))), 0)
        aws.expect_account(region, runner.required("ACCOUNT"))
        found = packer.found(region, component)
        facts["where"] = found.built.ami
        out = Path(tempfile.mkdtemp(dir=runner.temp()))
        seen(out, found.version, found.built, (parent, found.parent), recipe, template, bucket)


def seen(
    out: Path, version: str, built: bake.Built, parent: tuple[str, str], recipe: str, template: str, bucket: str
) -> None:
    """Look into an AMI and lend it; the folder has image.tar and image.json then, and is the step's output.

    Args:
        parent: the AMI that it is made of, as the spec says it, and its id.
        recipe: the digest of what it is made from.
        template, bucket: of the look.
    """
    region, account, component = (runner.required(name) for name in ("REGION", "ACCOUNT", "COMPONENT"))
    archive = out / release.ARCHIVE
    digest = look.look(region, account, component, built.snapshot, built.architecture, template, bucket, archive)
    lend_to = runner.given("LEND_TO")
    if lend_to and lend_to != account:
        bake.lend(region, built, lend_to)
    platform = f"linux/{look.ARCHITECTURES[built.architecture]}"
    said = {
        "name": component,
        "version": version,
        "digest": digest,
        "platforms": {platform: digest},
        "base": {"image": parent[0], "digest": parent[1]},
        "ami": {"id": built.ami, "region": region, "account": account},
        "recipe": recipe,
    }
    (out / release.IMAGE).write_text(json.dumps(said) + "\n", encoding="utf-8")
    runner.output("path", str(out))
    rows = [(runner.code(platform), runner.code(built.ami), runner.code(parent[1]))]
    runner.summary(f"image {runner.code(f'{component} {version}')}", ("platform", "AMI", "made of"), rows)
    runner.say(f"{component} {version} is {built.ami}; what was looked at is {digest}")


def gibibytes() -> int:
    said = runner.given("SIZE") or "0"
    if not re.fullmatch(r"\d{1,5}", said):
        raise runner.Failed(f"the input 'size' is '{said}': needs a number of GiB", "error")
    return int(said)


def launched() -> None:
    """Start an instance of the release's AMI, and put in-image into PATH for the steps that follow."""
    region, component, template = (runner.required(name) for name in ("REGION", "COMPONENT", "TEMPLATE"))
    said = image.read(Path(runner.required("RELEASE")))
    ami = said.get("ami")
    if not ami or said["name"] != component or (ami["region"], ami["account"]) != (region, runner.required("ACCOUNT")):
        raise runner.Failed(f"the release's {release.IMAGE} names no AMI of {component} here")
    aws.expect_account(region, ami["account"])
    instance = instances.start(region, template, ami["id"], component, "tests")
    in_image.state().write_text(json.dumps({"region": region, "instance": instance}), encoding="utf-8")
    instances.ready(region, instance, template)  # if it is not, `end` terminates it
    inside.install(Path(in_image.__file__))
    runner.say(f"in-image COMMAND runs a command on {instance}")


def ended() -> None:
    """Terminate the instance that was launched, if there is one."""
    if in_image.state().exists():
        region, instance = in_image.kept()
        aws.expect_account(region, runner.required("ACCOUNT"))
        instances.end(region, instance)
        in_image.state().unlink()


def swept() -> None:
    """Terminate what a lost runner left: instances of the component for whatever purpose, older than some hours."""
    region, component = runner.required("REGION"), runner.required("COMPONENT")
    with evidence.recorded("sweep", region=region) as facts:
        hours = runner.required("HOURS")
        if not re.fullmatch(r"[1-9]\d{0,3}", hours):
            raise runner.Failed(f"the input 'hours' is '{hours}': needs a number of hours", "error")
        aws.expect_account(region, runner.required("ACCOUNT"))
        tagged = [
            {"Name": f"tag:{labels.COMPONENT}", "Values": [component]},
            {"Name": "tag-key", "Values": [labels.PURPOSE]},
            {"Name": "instance-state-name", "Values": [*instances.ALIVE]},
        ]
        found = aws.call(region, "ec2", "describe-instances", Filters=tagged)["Reservations"]
        before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=int(hours))
        rows = []
        for one in (one for reservation in found for one in reservation["Instances"]):
            tags = labels.of(one)
            began = datetime.datetime.fromisoformat(one["LaunchTime"])
            # The filters are AWS's to obey; what is ended is looked at once more.
            if tags.get(labels.COMPONENT) == component and tags.get(labels.PURPOSE) and began < before:
                aws.call(region, "ec2", "terminate-instances", InstanceIds=[one["InstanceId"]])
                runner.say(f"terminated {one['InstanceId']}, for {tags[labels.PURPOSE]} since {began:%Y-%m-%d %H:%M}")
                rows.append([runner.code(one["InstanceId"]), runner.code(tags[labels.PURPOSE]), f"{began:%F %R}"])
        facts["findings"] = {"terminated": len(rows)} if rows else {}
        if rows:
            runner.summary("instances that were left", ("instance", "for", "since"), rows)
        else:
            runner.say(f"no instance of {component} is older than {hours} hours")


DUTIES = {"bake": made, "packer": packed, "look": looked, "launch": launched, "end": ended, "sweep": swept}

runner.perform(DUTIES, "machine")
