"""What a rehearsal knows of the deploy tool ami, and what goes wrong with machines in it."""

import os
from pathlib import Path

import pytest
from dpra import catalogue, problems
from dpra.rehearsal import faults, promises
from dpra.rehearsal.accounts import deployments
from dpra.rehearsal.aws import Cloud
from dpra.rehearsal.deployers import ami
from dpra.rehearsal.faults import Pending
from dpra.rehearsal.mends.imagebuilder import distribution, images
from dpra.rehearsal.oidc import Issuer
from dpra.spec import reader
from moto.ec2.models import ec2_backends
from moto.ssm.models import ssm_backends

if os.geteuid():
    pytest.skip("machines' commands run in a chroot, which only root can enter", allow_module_level=True)

SPEC = (Path(__file__).parents[1] / "specs/machine.yml").read_text("utf-8")
TEST, PROD = "444444444444", "333333333333"
PARENT = "/aws/service/debian/release/12/latest/amd64"


def planned(parent=PARENT):
    return problems.planned(reader.read(SPEC.replace(PARENT, parent).encode(), catalogue.words()))


@pytest.fixture
def plan():
    return planned()


@pytest.fixture
def cloud():
    with Cloud(Issuer("acme/base", "main", "a" * 40)) as cloud:
        yield cloud


def value(name, account=TEST, region="eu-west-1"):
    found = ssm_backends[account][region].get_parameter(name)
    return found.value if found else ""


# ---- The deploy tool


def test_the_parent_and_awss_own_amis_are_there_where_images_are_built(cloud, plan):
    ami.provide(plan)
    there = ec2_backends[TEST]["eu-west-1"].amis
    for architecture in ami.ARCHITECTURES:
        looking = there[value(ami.LOOKING.format(architecture))]
        assert (looking.architecture, looking.owner_alias, looking.state) == (architecture, "amazon", "available")
    parent = there[value(PARENT)]
    assert (parent.architecture, parent.root_device_type, parent.owner_id == TEST) == ("x86_64", "ebs", False)
    assert parent.id == ec2_backends[TEST]["eu-west-1"].describe_images(filters={"image-id": parent.id})[0].id
    before = value(PARENT)
    ami.provide(plan)
    assert value(PARENT) == before  # what is there stays


def test_a_parent_may_be_an_ami_or_an_own_parameter_of_another_architecture(cloud):
    ami.provide(planned("ami-0a1b2c3d4e5f60718"))
    assert ec2_backends[TEST]["eu-west-1"].amis["ami-0a1b2c3d4e5f60718"].state == "available"
    ami.provide(planned("/golden/debian-arm64"))
    assert ec2_backends[TEST]["eu-west-1"].amis[value("/golden/debian-arm64")].architecture == "arm64"


def publish(plan, region, commit):
    """What the deploy tool leaves."""
    made = ami.register(PROD, region, "", "x86_64")
    ec2 = ec2_backends[PROD][region]
    ec2.amis[made].owner_id = PROD
    tags = [{"Key": "dpra:released", "Value": f"{'d' * 64}/{commit}"}]
    for word in ("2026.11.28-1", "latest"):
        name, last = f"/images/base/{word}", word == "latest"
        ssm_backends[PROD][region].put_parameter(
            name, "", made, "String", "", "", last, [] if last else tags, ami.KIND, "Standard", ""
        )
    return made


def test_what_runs_is_the_release_of_the_ami_that_latest_names(cloud, plan):
    assert deployments(plan) == []
    made = publish(plan, "eu-west-1", "c" * 40)
    [found] = deployments(plan)
    assert (found.environment, found.account, found.region) == ("prod", PROD, "eu-west-1")
    assert (found.digest, found.commit, found.status) == ("d" * 64, "c" * 40, "COMPLETE")
    ec2_backends[PROD]["eu-west-1"].disable_image(made)
    assert deployments(plan)[0].status == "the AMI is disabled"
    del ec2_backends[PROD]["eu-west-1"].amis[made]
    assert deployments(plan)[0].status == "the AMI is not there"
    ami.forget(plan, plan.production)
    assert deployments(plan) == []


def test_an_ami_of_another_account_is_none_of_the_regions_own(cloud, plan):
    made = publish(plan, "us-east-1", "c" * 40)
    ec2_backends[PROD]["us-east-1"].amis[made].owner_id = TEST
    assert [one.status for one in deployments(plan)] == ["the AMI is not there"]


@pytest.mark.parametrize("state", ["an-ami-of-mine", "id"])
def test_what_somebody_moves_by_hand_is_foreign(cloud, plan, state):
    publish(plan, "eu-west-1", "c" * 40)
    other = ami.register(PROD, "eu-west-1", "", "x86_64")
    ec2_backends[PROD]["eu-west-1"].amis[other].owner_id = PROD
    for _ in range(2):  # once more is no other AMI
        ami.console(plan, "eu-west-1", other if state == "id" else state)
        [found] = deployments(plan)
        assert (found.commit, found.digest, found.status) == ("foreign", "", "COMPLETE")
    named = value("/images/base/latest", PROD)
    assert (named == other) == (state == "id")
    assert len([one for one in ami.amis(PROD) if one.name == state]) == (state != "id")


def test_it_says_what_is_only_played(plan):
    assert any("EC2 Image Builder" in one for one in ami.simulated(plan))
    assert any(PARENT in one for one in ami.simulated(plan))


# ---- What goes wrong


def place(kind, said, plan):
    """A fault; the workflow's steps are not asked for."""
    return faults.parse(kind, said, plan, "pipeline", {"jobs": {}})


def pending(plan, *wanted):
    dead = []
    return Pending([place(kind, said, plan) for kind, said in wanted], dead.append, plan), dead


def test_a_build_that_is_to_fail_is_doomed_when_it_is_asked_for(plan):
    waiting, _ = pending(plan, ("fail", "build"))
    waiting.asked("build", "imagebuilder", "CreateComponent", TEST, "eu-west-1")
    assert waiting.faults
    waiting.asked("build", "imagebuilder", "CreateImage", TEST, "eu-west-1")
    assert (waiting.faults, images.DOOMED) == ([], {(TEST, "eu-west-1")})
    images.DOOMED.clear()


def run(account=TEST, region="eu-west-1"):
    ec2 = ec2_backends[account][region]
    image = ami.register(account, region, "", "x86_64")
    return ec2.run_instances(image, 1, None, [], is_instance_type_default=True, tags={}).instances[0]


def test_an_instance_is_lost_when_its_first_command_is_asked_for(cloud, plan):
    instance = run()
    waiting, _ = pending(plan, ("fail", "image-tests"))
    waiting.asked("image-tests", "ec2", "RunInstances", TEST, "eu-west-1")
    assert instance.state == "running"
    waiting.asked("image-tests", "ssm", "SendCommand", TEST, "eu-west-1")
    assert (instance.state, instance.state_reason.code) == ("terminated", "Server.InternalError")


@pytest.mark.parametrize(("job", "moment"), [("build", "RunInstances"), ("image-tests", "SendCommand")])
@pytest.mark.parametrize("kind", ["crash", "lose"])
def test_a_runner_dies_when_there_is_an_instance_to_leave(plan, kind, job, moment):
    waiting, dead = pending(plan, (kind, job))
    waiting.answered(job, "CreateImage", "eu-west-1")
    assert not dead
    waiting.answered(job, moment, "eu-west-1")
    assert [(one.kind, one.job, one.region) for one in dead] == [(kind, job, "eu-west-1")]


def test_a_region_of_production_may_take_no_copy(cloud, plan):
    ami.console(plan, "us-east-1", "takes-no-copy")
    assert list(distribution.REFUSING) == [(PROD, "us-east-1")]
    distribution.REFUSING.clear()


# ---- What is left


def test_an_end_may_say_how_many_instances_and_amis_are_left(cloud, plan):
    row = {"instances": {"test": 0, "prod": 0}, "amis": {"prod": 0}}
    assert list(promises.left(plan, row)) == []
    instance, far = run(), run(TEST, "us-east-1")
    ec2_backends[PROD]["us-east-1"].amis[ami.register(PROD, "us-east-1", "", "arm64")].owner_id = PROD
    first, second = promises.left(plan, row)
    assert first.startswith("test has 2 instances, not 0: ")
    assert instance.id in first
    assert second.startswith("prod has 1 amis, not 0: ami-")
    instance.terminate()
    assert [one.id for one in ami.instances(TEST)] == [far.id]
    assert list(promises.left(plan, {"instances": {"test": 1}})) == []


def test_instances_grow_older(cloud, plan):
    instance = run()
    before = instance.launch_time
    ami.hours_pass(plan, 1)
    assert (before - instance.launch_time).total_seconds() == 3600
