"""EC2 Image Builder in the rehearsal's AWS, asked for by the real AWS CLI and boto3; what it builds is built really."""

import json
import os
import subprocess
from functools import partial
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from dpra.rehearsal import buildah, debian, roots
from dpra.rehearsal.mends import forget
from dpra.rehearsal.mends.imagebuilder import distribution, images, scans
from dpra.rehearsal.mends.imagebuilder.api import OPERATIONS, models
from dpra.rehearsal.mends.imagebuilder.store import STORES
from dpra.rehearsal.mends.protocol import beyond

pytestmark = pytest.mark.slow  # machines are made

if os.geteuid():
    pytest.skip("machines are built in a chroot, which only root can enter", allow_module_level=True)

HERE, OTHER = "111111111111", "222222222222"
ORGANIZATION = f"arn:aws:organizations::{HERE}:organization/o-abcdefghij"
DATE = "{{ imagebuilder:buildDate }}"
NEWEST = "ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
BASE = f"arn:aws:imagebuilder:eu-west-1:{HERE}"
SHELL = """
schemaVersion: 1.0
parameters:
  - Greeting: {type: string, default: hello}
constants:
  - Where: {type: string, value: /opt/shop}
phases:
  - name: build
    steps:
      - name: Install
        action: ExecuteBash
        inputs:
          commands:
            - set -euo pipefail
            - mkdir -p '{{ Where }}'
            - echo '{{ Greeting }}' > '{{ Where }}/greeting'
            - words=(installed here); echo "${words[0]}"
      - name: Note
        action: CreateFile
        inputs:
          - {path: /opt/shop/note, content: 'said: {{ build.Install.outputs.stdout }}', permissions: '0640'}
  - name: validate
    steps:
      - name: Look
        action: ExecuteBash
        inputs: {commands: ['grep -q . /opt/shop/greeting']}
  - name: test
    steps:
      - name: Try
        action: ExecuteBash
        inputs: {commands: ['touch /opt/shop/tested; test "$(cat /opt/shop/greeting)" = "{{ Greeting }}"']}
"""


def steps(*said, phase="build"):
    return json.dumps({"schemaVersion": 1.0, "phases": [{"name": phase, "steps": list(said)}]})


def bash(*commands, name="Run", **more):
    return {"name": name, "action": "ExecuteBash", "inputs": {"commands": list(commands)}, **more}


def to(region, parameters=(), **said):
    """A distribution."""
    more = {"ssmParameterConfigurations": list(parameters)} if parameters else {}
    return {"region": region, "amiDistributionConfiguration": said, **more}


def fits(http_response, parsed, model, **_):
    """What an operation answers is what its model says."""
    if "Error" in parsed:
        return
    said = {key: value for key, value in parsed.items() if key != "ResponseMetadata"}
    report = ParamValidator().validate(said, model.output_shape).generate_report()
    assert not report
    assert not list(beyond(said, model.output_shape, ""))
    assert http_response.status_code == model.http.get("responseCode", 200)


def refusal(code, match=""):
    return pytest.raises(ClientError, match=f"(?s)\\({code}\\).*{match}")


class Shop:
    """What is needed to build an image."""

    def __init__(self, client):
        self.api, self.ec2, iam = client("imagebuilder"), client("ec2"), client("iam")
        self.api.meta.events.register("after-call.*.*", fits)
        self.role = machine_role(iam)
        self.infrastructure = self.api.create_infrastructure_configuration(
            name="shop", instanceProfileName="machine", instanceTypes=["t3.micro"]
        )["infrastructureConfigurationArn"]
        self.count = 0

    def component(self, data=SHELL, version="1.0.0", name="shop", **more):
        asked = {"name": name, "semanticVersion": version, "platform": "Linux", **more}
        return self.api.create_component(**asked, data=data)["componentBuildVersionArn"]

    def recipe(self, *components, version="", **more):
        self.count += 1
        asked = {"name": "shop", "semanticVersion": version or f"1.0.{self.count}", "parentImage": NEWEST, **more}
        parts = [one if isinstance(one, dict) else {"componentArn": one} for one in components]
        return self.api.create_image_recipe(**asked, components=parts)["imageRecipeArn"]

    def distribution(self, *distributions, name="shop"):
        made = self.api.create_distribution_configuration(name=name, distributions=list(distributions))
        return made["distributionConfigurationArn"]

    def image(self, *components, distribution="", recipe=None, **more):
        asked = {"imageRecipeArn": self.recipe(*(components or (self.component(),)), **(recipe or {})), **more}
        if distribution:
            asked["distributionConfigurationArn"] = distribution
        asked["infrastructureConfigurationArn"] = self.infrastructure
        return self.api.create_image(**asked)["imageBuildVersionArn"]

    def look(self, name):
        return self.api.get_image(imageBuildVersionArn=name)["image"]

    def states(self, name):
        found = []
        while not found or found[-1] not in images.DONE:
            found.append(self.look(name)["state"]["status"])
        return found

    def built(self, *components, **more):
        name = self.image(*components, **more)
        self.states(name)
        return self.look(name)

    def broken(self, *components, **more):
        image = self.built(*components, **more)
        assert image["state"]["status"] == "FAILED"
        return image["state"]


def machine_role(iam):
    """A role that Systems Manager's agent may have: moto knows AWS's policy for it in templates only."""
    allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ssm:Update*", "Resource": "*"}]}
    iam.create_role(RoleName="machine", AssumeRolePolicyDocument="{}")
    iam.put_role_policy(RoleName="machine", PolicyName="agent", PolicyDocument=json.dumps(allowed))
    iam.create_instance_profile(InstanceProfileName="machine")
    iam.add_role_to_instance_profile(InstanceProfileName="machine", RoleName="machine")
    return f"arn:aws:iam::{HERE}:role/machine"


def inside(ami, *commands):
    """What commands print that are run in the files of an AMI."""
    done = roots.in_image(ami, ["bash", "-c", "\n".join(commands)])
    assert not done.code, done.err
    return done.out.strip()


@pytest.fixture
def client(lasting):
    return lasting


@pytest.fixture
def archive(tmp_path):
    """Where a rehearsal has its archive of packages."""
    (tmp_path / "steps").mkdir()
    buildah.install(tmp_path / "steps", tmp_path)
    yield tmp_path
    roots.ARCHIVE.clear()


@pytest.fixture
def shop(client):
    return Shop(client)


def test_the_aws_cli_builds_an_image(aws, client, tmp_path):
    builder = partial(aws, "imagebuilder")
    machine_role(client("iam"))
    (tmp_path / "shop.yml").write_text(SHELL)
    version = ("--name", "shop", "--semantic-version", "1.2.3")
    component = builder("create-component", *version, "--platform", "Linux", "--data", "file://shop.yml")
    assert component["componentBuildVersionArn"] == f"{BASE}:component/shop/1.2.3/1"
    named = f"componentArn={BASE}:component/shop/1.x.x"
    recipe = builder("create-image-recipe", *version, "--parent-image", NEWEST, "--components", named)["imageRecipeArn"]
    profile = ("--instance-profile-name", "machine")
    infrastructure = builder("create-infrastructure-configuration", "--name", "shop", *profile)
    of = ("--image-recipe-arn", recipe, "--infrastructure-configuration-arn")
    image = builder("create-image", *of, infrastructure["infrastructureConfigurationArn"], "--tags", "commit=abc")
    name = image["imageBuildVersionArn"]
    assert name == f"{BASE}:image/shop/1.2.3/1"
    for _ in range(5):
        found = builder("get-image", "--image-build-version-arn", name)["image"]
    assert (found["state"], found["tags"]) == ({"status": "AVAILABLE"}, {"commit": "abc"})
    assert builder("list-tags-for-resource", "--resource-arn", name) == {"tags": {"commit": "abc"}}
    builder("tag-resource", "--resource-arn", name, "--tags", "digest=1")
    builder("untag-resource", "--resource-arn", name, "--tag-keys", "commit")
    assert builder("list-tags-for-resource", "--resource-arn", name) == {"tags": {"digest": "1"}}


def test_the_files_of_an_ami_are_what_the_components_made_of_its_parent(shop):
    first = shop.built()
    [ami] = first["outputResources"]["amis"]
    assert (ami["region"], ami["accountId"]) == ("eu-west-1", HERE)
    assert inside(ami["image"], "cat /opt/shop/greeting /opt/shop/note") == "hello\nsaid: installed"
    assert inside(ami["image"], "stat -c %a /opt/shop/note; ls /opt/shop") == "640\ngreeting\nnote"  # not: tested
    more = shop.component(steps(bash("echo more >> /opt/shop/greeting")), name="more")
    second = shop.built(more, recipe={"parentImage": ami["image"]})["outputResources"]["amis"][0]["image"]
    assert inside(second, "cat /opt/shop/greeting") == "hello\nmore"
    assert inside(ami["image"], "cat /opt/shop/greeting") == "hello"  # nobody changes an AMI
    third = shop.built(more, recipe={"parentImage": f"{BASE}:image/shop/x.x.x"})
    assert inside(third["outputResources"]["amis"][0]["image"], "cat /opt/shop/greeting") == "hello\nmore\nmore"


def test_an_image_has_one_status_after_another_and_the_clock_goes_on(shop, cloud):
    name = shop.image()
    with refusal("ResourceNotFoundException"):
        shop.look(f"{BASE}:image/shop/x.x.x")  # none is AVAILABLE yet
    assert shop.states(name) == ["CREATING", "BUILDING", "TESTING", "DISTRIBUTING", "AVAILABLE"]
    assert 22 * 60 < cloud.ahead < 24 * 60
    assert shop.look(f"{BASE}:image/shop/1.x.x")["arn"] == name
    untested = shop.image(shop.component(), imageTestsConfiguration={"imageTestsEnabled": False})
    assert shop.states(untested) == ["CREATING", "BUILDING", "DISTRIBUTING", "AVAILABLE"]


def test_who_waits_between_looks_sees_an_image_go_on_faster(shop, cloud):
    name = shop.image()
    assert shop.look(name)["state"]["status"] == "CREATING"
    for seconds, status in ((1, "BUILDING"), (2, "AVAILABLE")):
        STORES[HERE]["eu-west-1"].images[name].looked -= seconds
        assert shop.look(name)["state"]["status"] == status
    assert 22 * 60 < cloud.ahead < 24 * 60  # no longer than it takes
    assert shop.look(name)["outputResources"]["amis"]


def test_what_steps_print_is_in_cloudwatch_logs(shop, client):
    image = shop.built()
    where = {"logGroupName": "/aws/imagebuilder/shop", "logStreamName": image["version"]}
    lines = [event["message"] for event in client("logs").get_log_events(**where)["events"]]
    assert lines[:2] == ["build.Install: ExecuteBash", "installed"]
    assert images.log_of(HERE, "eu-west-1", image["arn"]) == lines


# ---- Steps


@pytest.mark.parametrize(
    ("step", "status", "says"),
    [
        (bash("echo broken >&2; exit 3"), "BUILDING", "exit code 3: broken"),
        (bash("sleep 60", timeoutSeconds=1), "BUILDING", "the step was not done in 1 seconds"),
        (bash("echo {{ build.None.outputs.stdout }}"), "BUILDING", "{{ build.None.outputs.stdout }} is not known"),
        ({"name": "Run", "action": "S3Download", "inputs": [{"source": "s3://a/b", "destination": "/c"}]}, "BUILDING",
         "not supported by the rehearsal: the action S3Download"),
        (bash("true", loop={"for": {}}), "BUILDING", "not supported by the rehearsal: a step with if or loop"),
        ({"name": "Run", "action": "ExecuteBinary", "inputs": {"path": "/bin/false"}}, "BUILDING", "exit code 1"),
        ({"name": "Run", "action": "DeleteFile", "inputs": [{"path": "/nothing"}]}, "BUILDING", "exit code 1"),
        ({"name": "Run", "action": "CreateFile", "inputs": [{"path": "/etc/hosts", "overwrite": False}]}, "BUILDING",
         "/etc/hosts exists"),
    ],
)  # fmt: skip
def test_a_step_that_fails_makes_the_image_fail_as_aws_words_it(shop, step, status, says):
    component = shop.component(steps(step))
    state = shop.broken(component)
    assert f"image arn: '{BASE}:image/shop/1.0.1/1' with status = 'Failed' in state = '{status}'" in state["reason"]
    assert f"failure message = 'Document {component} failed!" in state["reason"]
    assert ("not supported by the rehearsal" in state["reason"]) == says.startswith("not supported")
    context = state["failureContext"]
    assert (context["imageStatus"], context["failedStep"]) == (status, "ApplyBuildComponents")
    failure = context["componentFailure"]
    assert (failure["componentArn"], failure["phaseName"], failure["stepName"]) == (component, "build", "Run")
    assert (failure["action"], says in failure["errorMessage"]) == (step["action"], True)


def test_a_test_that_fails_makes_the_image_fail_while_it_is_tested(shop):
    state = shop.broken(shop.component(steps(bash("exit 1"), phase="test")))
    assert (state["failureContext"]["imageStatus"], state["failureContext"]["failedStep"]) == (
        "TESTING", "ApplyTestComponents",
    )  # fmt: skip


def test_all_components_build_before_one_validates(shop):
    needs = json.loads(steps(bash("test -f /second"), phase="validate"))
    image = shop.built(
        shop.component(json.dumps(needs), name="first"), shop.component(steps(bash("touch /second")), name="second")
    )
    assert image["state"]["status"] == "AVAILABLE"


@pytest.mark.parametrize(("on_failure", "last", "status"), [
    ("Abort", False, "FAILED"), ("Continue", True, "FAILED"), ("Ignore", True, "AVAILABLE"),
])  # fmt: skip
def test_after_a_failure_a_document_goes_on_as_the_step_says(shop, on_failure, last, status):
    image = shop.built(
        shop.component(steps(bash("echo one; exit 1", onFailure=on_failure), bash("echo two", name="Last")))
    )
    assert image["state"]["status"] == status
    assert ("two" in images.log_of(HERE, "eu-west-1", image["arn"])) == last


def test_a_step_is_tried_again_and_run_again_after_a_reboot(shop):
    tried = bash("echo x >> /tries; test $(wc -l < /tries) = 3", maxAttempts=3)
    booted = bash("test -f /booted || { touch /booted; exit 194; }", name="Boot")
    assert shop.built(shop.component(steps(tried, booted)))["state"]["status"] == "AVAILABLE"
    fails = shop.component(steps(bash("echo x >> /tries; test $(wc -l < /tries) = 3", maxAttempts=2)), "2.0.0")
    assert shop.broken(fails)


def test_actions_on_files_are_done(shop):
    said = [
        ("CreateFolder", [{"path": "/srv/a/b", "permissions": "0750", "owner": "admin", "group": "nogroup"}]),
        ("CreateFile", [{"path": "/srv/a/one", "content": "1\n"}, {"path": "/srv/a/two's $(x)", "content": "2\n"}]),
        ("AppendFile", [{"path": "/srv/a/one", "content": "more\n"}]),
        ("SetFilePermissions", [{"path": "/srv/a/one", "permissions": "0600"}]),
        ("SetFileOwner", [{"path": "/srv/a/one", "owner": "admin"}]),
        ("CreateSymlink", [{"path": "/srv/link", "target": "/srv/a/one"}]),
        ("DeleteFile", [{"path": "/srv/a/two*"}]),
        ("CreateFolder", [{"path": "/srv/gone/full"}]),
        ("DeleteFolder", [{"path": "/srv/gone", "force": True}]),
        ("Reboot", {"delaySeconds": 1}),
        ("ExecuteBinary", {"path": "/bin/touch", "arguments": ["/srv/with space"]}),
    ]
    document = steps(*({"name": f"S{n}", "action": one, "inputs": made} for n, (one, made) in enumerate(said)))
    ami = shop.built(shop.component(document))["outputResources"]["amis"][0]["image"]
    assert inside(ami, "stat -c '%n %a %U %G' /srv/a/b /srv/a/one; cat /srv/link; ls /srv /srv/a").split("\n") == [
        "/srv/a/b 750 admin nogroup", "/srv/a/one 600 admin root", "1", "more",
        "/srv:", "a", "link", "with space", "", "/srv/a:", "b", "one",
    ]  # fmt: skip


def test_a_component_cannot_reach_this_machine_and_nothing_of_it_goes_on(shop, cloud, tmp_path):
    (tmp_path / "secret").write_text("x")
    component = shop.component(steps(
        bash(f"if test -e {tmp_path}/secret; then exit 1; fi"),
        bash("if mknod /tmp/disk b 8 0; then exit 1; fi", name="B"),
        bash("year=$(date +%Y); date -s 2001-01-01; test $(date +%Y) = $year", name="E"),
        bash("if mount -t tmpfs x /tmp || echo 1 > /proc/sys/kernel/sysrq; then exit 1; fi", name="C"),
        bash(f"if nc -w 3 127.0.0.1 {cloud.server.server_port} < /dev/null; then exit 1; fi", name="F"),
        bash("setsid sleep 4711 >/dev/null 2>&1 & sleep 4711 &", name="D"),
    ))  # fmt: skip
    image = shop.built(component)
    assert image["state"]["status"] == "AVAILABLE", image["state"]
    running = subprocess.run(["pgrep", "-f", "sleep 4711"], capture_output=True, text=True)
    assert running.stdout == ""


def test_parameters_are_given_by_the_recipe(shop):
    component = shop.component()
    given = {"componentArn": component, "parameters": [{"name": "Greeting", "value": ["goodbye"]}]}
    ami = shop.built(given)["outputResources"]["amis"][0]["image"]
    assert inside(ami, "cat /opt/shop/greeting") == "goodbye"
    with refusal("InvalidParameterValueException", "has no parameter Nope"):
        shop.recipe({"componentArn": component, "parameters": [{"name": "Nope", "value": ["x"]}]})
    needs = shop.component(SHELL.replace(", default: hello", ""), "2.0.0")
    with refusal("InvalidParameterValueException", "needs the parameter Greeting"):
        shop.recipe(needs)


def package(image, name):
    """The version of a package in a built image's AMI."""
    [ami] = image["outputResources"]["amis"]
    return inside(ami["image"], f"dpkg -l | sed -n 's/^ii *{name} *//p'")


def test_a_bake_has_the_packages_that_the_archive_has_by_then(shop, archive):
    upgrade = shop.component(steps(bash("apt-get update && apt-get -y upgrade")))
    before = package(shop.built(upgrade), "tzdata")
    assert before == debian.PACKAGES["tzdata"]
    buildah.news(archive, "tzdata", "2026c-0+deb12u1")
    assert package(shop.built(shop.component(name="bare")), "tzdata") == before  # the parent's
    for component in (upgrade, "arn:aws:imagebuilder:eu-west-1:aws:component/update-linux/x.x.x"):
        assert package(shop.built(component), "tzdata") == "2026c-0+deb12u1"


def test_components_of_aws_are_nothing_to_do_or_not_supported(shop):
    amazon = "arn:aws:imagebuilder:eu-west-1:aws:component"
    assert shop.built(f"{amazon}/reboot-linux/x.x.x", shop.component())["state"]["status"] == "AVAILABLE"
    assert "not supported by the rehearsal" in shop.broken(f"{amazon}/stig-build-linux-high/x.x.x")["reason"]


# ---- Versions, and what is refused


def test_versions_are_found_by_wildcards_and_builds_are_counted(shop):
    for version in ("1.6.8", "1.7.8", "2.2.4", "2.2.4", "1.7.10"):
        shop.component(version=version)
    shop.component(version="3.0.0", name="shop-other")

    def found(wanted):
        name = f"{BASE}:component/shop/{wanted}"
        return shop.api.get_component(componentBuildVersionArn=name)["component"]["arn"].partition("/shop/")[2]

    wanted = ("x.x.x", "1.x.x", "1.6.x", "2.2.4", "2.2.4/1")
    assert [found(one) for one in wanted] == ["2.2.4/2", "1.7.10/1", "1.6.8/1", "2.2.4/2", "2.2.4/1"]
    for wrong in ("x.2.x", "1.x.8"):
        with refusal("InvalidParameterValueException", "to the right of a wildcard"):
            found(wrong)
    with refusal("ResourceNotFoundException", "component/shop/4.x.x cannot be found"):
        found("4.x.x")
    listed = shop.api.list_components(owner="Self", filters=[{"name": "name", "values": ["shop"]}])
    assert [one["version"] for one in listed["componentVersionList"]] == ["1.6.8", "1.7.8", "1.7.10", "2.2.4"]
    builds = shop.api.list_component_build_versions(componentVersionArn=f"{BASE}:component/shop/2.2.4")
    assert [one["arn"][-1] for one in builds["componentSummaryList"]] == ["2", "1"]
    assert [shop.recipe(f"{BASE}:component/shop/x.x.x", version="3.1.x")[-5:] for _ in range(2)] == ["3.1.0", "3.1.1"]


def test_images_are_listed_by_version_and_by_build(shop):
    recipe = shop.recipe(shop.component())
    asked = {"imageRecipeArn": recipe, "infrastructureConfigurationArn": shop.infrastructure}
    names = [shop.api.create_image(**asked)["imageBuildVersionArn"] for _ in range(2)]
    assert [name[-7:] for name in names] == ["1.0.1/1", "1.0.1/2"]
    shop.image()
    listed = shop.api.list_images()["imageVersionList"]
    assert [one["arn"] for one in listed] == [f"{BASE}:image/shop/1.0.2", f"{BASE}:image/shop/1.0.1"]
    builds = shop.api.list_image_build_versions(imageVersionArn=f"{BASE}:image/shop/1.0.1")["imageSummaryList"]
    assert [one["version"] for one in builds] == ["1.0.1/2", "1.0.1/1"]
    pages = shop.api.get_paginator("list_image_build_versions").paginate(PaginationConfig={"PageSize": 2})
    assert [len(one["imageSummaryList"]) for one in pages] == [2, 1]
    assert shop.api.list_image_build_versions(imageVersionArn=f"{BASE}:image/none/1.0.1")["imageSummaryList"] == []


def test_a_request_with_a_token_that_was_used_is_answered_and_done_once(shop):
    component = shop.component()
    asked = {"imageRecipeArn": shop.recipe(component), "infrastructureConfigurationArn": shop.infrastructure}
    first = shop.api.create_image(**asked, clientToken="run-1")
    again = shop.api.create_image(**asked, clientToken="run-1")
    assert again["imageBuildVersionArn"] == first["imageBuildVersionArn"]
    assert len(shop.api.list_image_build_versions()["imageSummaryList"]) == 1
    with refusal("IdempotentParameterMismatchException"):
        shop.api.create_image(**asked, clientToken="run-1", tags={"a": "b"})
    assert shop.api.create_image(**asked, clientToken="run-2")["imageBuildVersionArn"].endswith("/2")


WRONG, INVALID = "InvalidRequestException", "InvalidParameterValueException"
OF_COMPONENT = {"name": "shop", "semanticVersion": "1.0.0", "platform": "Linux"}


@pytest.mark.parametrize(
    ("operation", "asked", "code", "why"),
    [
        ("create_component", {**OF_COMPONENT, "semanticVersion": "1.0"}, "InvalidParameterValueException",
         r"'semanticVersion' is not valid.*must satisfy"),
        ("create_component", {**OF_COMPONENT, "platform": "BeOS", "data": "x"}, INVALID, "Linux"),
        ("create_component", {**OF_COMPONENT, "semanticVersion": "1.0.1073741824", "data": SHELL},
         "InvalidVersionNumberException", "1073741823"),
        ("create_component", OF_COMPONENT, "InvalidParameterCombinationException", "data and uri"),
        ("create_component", {**OF_COMPONENT, "data": "x" * 16001}, INVALID, "16001 characters"),
        ("create_component", {**OF_COMPONENT, "data": "phases: ["}, "InvalidRequestException", "document is not valid"),
        ("create_component", {**OF_COMPONENT, "data": "schemaVersion: 1.0"}, "InvalidRequestException", "no 'phases'"),
        ("create_component", {**OF_COMPONENT, "data": steps(bash("x"), bash("y"))}, WRONG, "twice"),
        ("create_component", {**OF_COMPONENT, "data": steps(bash("x", timeoutSeconds=0))}, "InvalidRequestException",
         "timeoutSeconds is 0"),
        ("create_component", {**OF_COMPONENT, "data": steps(bash("x"), phase="install")}, "InvalidRequestException",
         "none of the phases"),
        ("create_component", {**OF_COMPONENT, "uri": "s3://none/x"}, INVALID, "no s3://none/x"),
        ("create_component", {**OF_COMPONENT, "data": SHELL, "dryRun": True}, "DryRunOperationException", "successful"),
        ("create_component", {**OF_COMPONENT, "data": SHELL, "tags": {}}, INVALID, "at least 1"),
        ("create_infrastructure_configuration", {"name": "other", "instanceProfileName": "none"},
         "InvalidParameterValueException", "instance profile does not exist"),
        ("create_infrastructure_configuration", {"name": "shop", "instanceProfileName": "machine"},
         "ResourceAlreadyExistsException", "'InfrastructureConfiguration' already exists"),
        ("create_distribution_configuration", {"name": "other", "distributions": [{"region": "eu-nowhere-1"}]},
         "InvalidParameterValueException", "no region eu-nowhere-1"),
        ("create_distribution_configuration",
         {"name": "other", "distributions": [to("eu-west-1", name="shop")]},
         "InvalidParameterValueException", "has no {{ imagebuilder:buildDate }}"),
        ("create_image_recipe", {"name": "abc", "semanticVersion": "1.0.0", "parentImage": "ami-00000000000000000"},
         "InvalidParameterValueException", "'parentImage' is not valid"),
        ("get_image", {"imageBuildVersionArn": f"{BASE}:image/shop/1.0.0/1"}, "ResourceNotFoundException", "cannot"),
        ("tag_resource", {"resourceArn": f"{BASE}:image/shop/1.0.0/1", "tags": {"a": "b"}},
         "ResourceNotFoundException", "cannot"),
        ("list_images", {"filters": [{"name": "color", "values": ["red"]}]}, "InvalidParameterValueException", "color"),
        ("list_image_pipelines", {}, "NotImplemented", "ListImagePipelines"),
    ],
)  # fmt: skip
def test_a_request_that_image_builder_refuses_is_refused(shop, operation, asked, code, why):
    with refusal(code, why):
        getattr(shop.api, operation)(**asked)


def test_a_recipe_is_there_once_and_what_it_needs_stays(shop):
    component = shop.component()
    recipe = shop.recipe(component, version="1.0.0")
    with refusal("ResourceAlreadyExistsException", f"The following resource 'ImageRecipe' already exists: '{recipe}'"):
        shop.recipe(component, version="1.0.0")
    with refusal("ResourceDependencyException"):
        shop.api.delete_component(componentBuildVersionArn=component)
    shop.api.delete_image_recipe(imageRecipeArn=recipe)
    shop.api.delete_component(componentBuildVersionArn=component)


def test_a_component_may_lie_in_s3(shop, client):
    client("s3").put_object(Bucket="dpra-demo-111111111111-eu-west-1", Key="shop.yml", Body=SHELL.encode())
    made = shop.api.create_component(**OF_COMPONENT, uri="s3://dpra-demo-111111111111-eu-west-1/shop.yml")
    found = shop.api.get_component(componentBuildVersionArn=made["componentBuildVersionArn"])["component"]
    assert (found["data"], found["type"], found["parameters"][0]["name"]) == (SHELL, "BUILD", "Greeting")


def test_an_image_is_cancelled_while_it_is_made_and_deleted_when_it_is_not(shop):
    name = shop.image()
    assert shop.look(name)["state"]["status"] == "CREATING"
    with refusal("ResourceDependencyException", "CREATING"):
        shop.api.delete_image(imageBuildVersionArn=name)
    shop.api.cancel_image_creation(imageBuildVersionArn=name)
    assert shop.look(name)["state"]["status"] == "CANCELLED"
    with refusal("InvalidRequestException", "CANCELLED: its creation cannot be cancelled"):
        shop.api.cancel_image_creation(imageBuildVersionArn=name)
    shop.api.delete_image(imageBuildVersionArn=name)
    with refusal("ResourceNotFoundException"):
        shop.look(name)


def test_workflows_tell_how_far_an_image_is(shop):
    name = shop.image(shop.component(steps(bash("exit 1"), phase="test")))
    told = []
    for _ in range(4):
        found = shop.api.list_workflow_executions(imageBuildVersionArn=name)
        told.append({one["type"]: one["status"] for one in found["workflowExecutions"]})
    assert told == [
        {"BUILD": "RUNNING"}, {"BUILD": "RUNNING"}, {"BUILD": "COMPLETED", "TEST": "RUNNING"},
        {"BUILD": "COMPLETED", "TEST": "FAILED"},
    ]  # fmt: skip
    one = shop.api.get_workflow_execution(workflowExecutionId=found["workflowExecutions"][1]["workflowExecutionId"])
    assert (one["imageBuildVersionArn"], one["status"]) == (name, "FAILED")
    assert shop.look(name)["state"]["failureContext"]["workflowExecutionId"] == one["workflowExecutionId"]


SCANNED = {"imageScanningConfiguration": {"imageScanningEnabled": True}}
OLDER = bash("sed -i 's/^Version: 2[.]36-.*/Version: 2.36-9+deb12u2/' /var/lib/dpkg/status")


def found(shop, arn):
    asked = {"filters": [{"name": "imageBuildVersionArn", "values": [arn]}]}
    return shop.api.list_image_scan_findings(**asked)["findings"]


def test_inspector_finds_what_is_in_the_image(shop, client):
    client("inspector2").enable(resourceTypes=["EC2"], accountIds=[HERE])
    states, name = [], shop.image(shop.component(steps(OLDER)), **SCANNED)
    while not states or states[-1][0] != "AVAILABLE":
        image = shop.look(name)
        states.append((image["state"]["status"], image["scanState"]["status"]))
    assert ("BUILDING", "PENDING") in states
    assert ("TESTING", "SCANNING") in states
    assert states[-1] == ("AVAILABLE", "COMPLETED")
    [finding] = found(shop, name)
    about = finding["packageVulnerabilityDetails"]
    assert (about["vulnerabilityId"], finding["severity"], finding["fixAvailable"]) == ("CVE-2023-4911", "HIGH", "YES")
    [package] = about["vulnerablePackages"]
    assert (package["name"], package["version"], package["release"]) == ("libc6", "2.36", "9+deb12u2")
    mended = shop.built(shop.component(name="mended"), **SCANNED)
    assert (mended["scanState"]["status"], found(shop, mended["arn"])) == ("COMPLETED", [])


def test_inspector_scans_where_it_is_switched_on_and_images_are_tested(shop, client):
    with refusal("ResourceDependencyException", "Amazon Inspector is not enabled for 'ec2' resources in account"):
        shop.image(**SCANNED)
    client("inspector2").enable(resourceTypes=["ECR"], accountIds=[HERE])
    with refusal("ResourceDependencyException", "is not enabled for 'ec2'"):
        shop.image(**SCANNED)
    client("inspector2").enable(resourceTypes=["EC2"], accountIds=[HERE])
    with refusal("InvalidParameterValueException", "You must also enable image tests"):
        shop.image(**SCANNED, imageTestsConfiguration={"imageTestsEnabled": False})
    assert "scanState" not in shop.look(shop.image())


def test_a_scan_that_does_not_end_has_no_findings(shop, client):
    client("inspector2").enable(resourceTypes=["EC2"], accountIds=[HERE])
    older = shop.component(steps(OLDER))
    scans.LATE.add((HERE, "eu-west-1"))
    image = shop.built(older, **SCANNED)
    assert (image["state"]["status"], image["scanState"]["status"]) == ("AVAILABLE", "TIMED_OUT")
    assert found(shop, image["arn"]) == []
    broken = shop.built(shop.component(steps(bash("exit 1"), phase="test"), name="broken"), **SCANNED)
    assert (broken["state"]["status"], broken["scanState"]["status"]) == ("FAILED", "ABANDONED")


def test_an_instance_whose_role_is_not_systems_managers_builds_nothing(shop, client):
    client("iam").delete_role_policy(RoleName="machine", PolicyName="agent")
    reason = shop.broken()["reason"]
    assert "with status = 'TimedOut' in state = 'BUILDING'" in reason
    assert "and failure message = 'SSM Agent verification failed'" in reason


def test_without_root_an_image_fails_and_says_why(shop, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "which only root can enter: rehearse as root" in shop.broken()["reason"]


def test_an_image_that_is_doomed_fails(shop):
    images.DOOMED.add((HERE, "eu-west-1"))
    assert "internal error" in shop.broken()["reason"]
    assert shop.built()["state"]["status"] == "AVAILABLE"


# ---- Distribution


def test_an_ami_is_copied_shared_tagged_and_named_by_a_parameter(shop, client):
    parameter = {"parameterName": "/imagebuilder/shop", "dataType": "aws:ec2:image"}
    sharing = {"launchPermission": {"userIds": [OTHER], "organizationArns": [ORGANIZATION]}, "amiTags": {"team": "a"}}
    name = f"shop {DATE}"
    config = shop.distribution(
        to("eu-west-1", [parameter], name=name, **sharing), to("us-east-1", [parameter], name=name, description="far")
    )
    image = shop.image(distribution=config)
    assert shop.states(image)[-3:] == ["DISTRIBUTING", "INTEGRATING", "AVAILABLE"]
    amis = {one["region"]: one for one in shop.look(image)["outputResources"]["amis"]}
    assert amis.keys() == {"eu-west-1", "us-east-1"}
    for region, ami in amis.items():
        value = client("ssm", region).get_parameter(Name="/imagebuilder/shop")["Parameter"]
        assert (value["Value"], value["DataType"]) == (ami["image"], "aws:ec2:image")
        [found] = client("ec2", region).describe_images(ImageIds=[ami["image"]])["Images"]
        assert found["Name"].startswith("shop 20")
        assert inside(ami["image"], "cat /opt/shop/greeting") == "hello"
        tags = {tag["Key"]: tag["Value"] for tag in found["Tags"]}
        assert tags["Ec2ImageBuilderArn"] == image
        assert tags.get("team") == ("a" if region == "eu-west-1" else None)
    told = shop.ec2.describe_image_attribute(ImageId=amis["eu-west-1"]["image"], Attribute="launchPermission")
    assert told["LaunchPermissions"] == [{"UserId": OTHER}, {"OrganizationArn": ORGANIZATION}]
    assert client("ec2", "eu-west-1", OTHER).describe_images(ImageIds=[amis["eu-west-1"]["image"]])["Images"]
    with refusal("InvalidAMIID.NotFound"):
        client("ec2", "us-east-1", OTHER).describe_images(ImageIds=[amis["us-east-1"]["image"]])


def test_an_ami_is_encrypted_and_as_large_as_its_recipe_says_and_so_are_its_copies(shop, client):
    config = shop.distribution(to("eu-west-1"), to("us-east-1"))
    device = {"deviceName": "/dev/xvda", "ebs": {"encrypted": True, "volumeSize": 20}}
    for mappings, wanted in (([device], (True, 20)), ([], (False, 15))):
        image = shop.built(distribution=config, recipe={"blockDeviceMappings": mappings})
        for ami in image["outputResources"]["amis"]:
            [found] = client("ec2", ami["region"]).describe_images(ImageIds=[ami["image"]])["Images"]
            ebs = found["BlockDeviceMappings"][0]["Ebs"]
            assert (ebs["Encrypted"], ebs["VolumeSize"]) == wanted


def test_an_ami_is_copied_to_another_account_that_lets_it(shop, client):
    config = shop.distribution(to("eu-west-1", name=f"shop {DATE}", targetAccountIds=[HERE, OTHER]))
    state = shop.broken(distribution=config)
    role = "EC2ImageBuilderDistributionCrossAccountRole"
    assert state["failureContext"]["distributionFailure"]["regionFailures"][0]["targetAccountId"] == OTHER
    assert role in state["reason"]
    trusted(client("iam", account=OTHER), role, {"AWS": f"arn:aws:iam::{HERE}:root"})
    amis = {one["accountId"]: one["image"] for one in shop.built(distribution=config)["outputResources"]["amis"]}
    [theirs] = client("ec2", account=OTHER).describe_images(ImageIds=[amis[OTHER]])["Images"]
    assert (theirs["OwnerId"], theirs["SourceImageId"]) == (OTHER, amis[HERE])
    assert inside(amis[OTHER], "cat /opt/shop/greeting") == "hello"


def test_the_services_own_role_puts_parameters_below_imagebuilder_only(shop, client):
    config = shop.distribution(to("eu-west-1", [{"parameterName": "/images/shop"}], name=f"shop {DATE}"))
    state = shop.broken(distribution=config)
    assert state["failureContext"]["imageStatus"] == "INTEGRATING"
    failure = state["failureContext"]["distributionFailure"]["regionFailures"][0]
    assert failure["imageConfigurationStep"] == "PUT_SSM_PARAMETERS"
    assert "ssm:PutParameter on resource: arn:aws:ssm:eu-west-1:111111111111:parameter/images/shop" in state["reason"]
    iam = client("iam")
    trusted(iam, "distributor", {"Service": "imagebuilder.amazonaws.com"})
    allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ssm:*", "Resource": "*"}]}
    iam.put_role_policy(RoleName="distributor", PolicyName="x", PolicyDocument=json.dumps(allowed))
    image = shop.built(distribution=config, executionRole="distributor")
    value = client("ssm").get_parameter(Name="/images/shop")["Parameter"]["Value"]
    assert value == image["outputResources"]["amis"][0]["image"]


def trusted(iam, name, principal):
    trust = {"Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]}
    return iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]


def test_an_image_that_is_there_is_distributed_and_its_ami_stays_the_one_that_it_is(shop, client):
    image = shop.built()
    ami = image["outputResources"]["amis"][0]["image"]
    config = shop.distribution(to("eu-west-1", launchPermission={"userIds": [OTHER]}), to("us-east-1"))
    role = trusted(client("iam"), "distributor", {"Service": "imagebuilder.amazonaws.com"})
    for source, name in ((image["arn"], "image/shop/1.0.1/2"), (ami, "image/shop/1.0.0/1")):
        asked = {"sourceImage": source, "distributionConfigurationArn": config, "executionRole": role}
        made = shop.api.distribute_image(**asked)["imageBuildVersionArn"]
        assert made == f"{BASE}:{name}"
        if source == ami:
            config = shop.api.update_distribution_configuration(
                distributionConfigurationArn=config, distributions=[to("eu-west-1")]
            )["distributionConfigurationArn"]
            continue
        assert shop.states(made) == ["DISTRIBUTING", "AVAILABLE"]
        amis = {one["region"]: one["image"] for one in shop.look(made)["outputResources"]["amis"]}
        assert amis["eu-west-1"] == ami
        assert inside(amis["us-east-1"], "cat /opt/shop/greeting") == "hello"
        client("ec2", "us-east-1").deregister_image(ImageId=amis["us-east-1"])
    assert client("ec2", "eu-west-1", OTHER).describe_images(ImageIds=[ami])["Images"]
    with refusal("InvalidParameterValueException", "there is no role arn:aws:iam"):
        shop.api.distribute_image(
            sourceImage=ami, distributionConfigurationArn=config, executionRole=f"arn:aws:iam::{HERE}:role/none"
        )


def test_a_shared_ami_is_copied_where_another_account_distributes_it(shop, client):
    config = shop.distribution(to("eu-west-1", name=f"shop {DATE}", launchPermission={"userIds": [OTHER]}))
    ami = shop.built(distribution=config)["outputResources"]["amis"][0]["image"]
    theirs = client("imagebuilder", "eu-west-1", OTHER)
    config = theirs.create_distribution_configuration(name="mine", distributions=[to("eu-west-1"), to("us-east-1")])
    role = trusted(client("iam", account=OTHER), "distributor", {"Service": "imagebuilder.amazonaws.com"})
    asked = {
        "sourceImage": ami,
        "executionRole": role,
        "distributionConfigurationArn": config["distributionConfigurationArn"],
    }

    def distributed():
        made = theirs.distribute_image(**asked)["imageBuildVersionArn"]
        while (found := theirs.get_image(imageBuildVersionArn=made)["image"])["state"]["status"] not in images.DONE:
            pass
        return found

    assert "permission to access the storage of this ami" in distributed()["state"]["reason"]
    [lent] = shop.ec2.describe_images(ImageIds=[ami])["Images"]
    shop.ec2.modify_snapshot_attribute(
        SnapshotId=lent["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"], Attribute="createVolumePermission",
        CreateVolumePermission={"Add": [{"UserId": OTHER}]},
    )  # fmt: skip
    found = distributed()
    amis = {one["region"]: one["image"] for one in found["outputResources"]["amis"]}
    assert (found["state"]["status"], ami in amis.values(), len(amis)) == ("AVAILABLE", False, 2)
    assert inside(amis["us-east-1"], "cat /opt/shop/greeting") == "hello"


def test_an_ami_has_the_tags_that_are_asked_for_and_its_snapshot_image_builders_own(shop):
    image = shop.built(recipe={"amiTags": {"team": "shop"}})
    [ami] = shop.ec2.describe_images(ImageIds=[image["outputResources"]["amis"][0]["image"]])["Images"]
    of = [{"Name": "snapshot-id", "Values": [ami["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]]}]
    [snapshot] = shop.ec2.describe_snapshots(Filters=of)["Snapshots"]
    own = {"CreatedBy": "EC2 Image Builder", "Ec2ImageBuilderArn": image["arn"]}
    tags = [{tag["Key"]: tag["Value"] for tag in said["Tags"]} for said in (ami, snapshot)]
    assert tags == [{**own, "team": "shop"}, own]


def test_a_region_that_takes_no_copy_does_so_once(shop):
    distribution.REFUSING.add((HERE, "us-east-1"))
    config = shop.distribution(to("eu-west-1"), to("us-east-1"))
    state = shop.broken(distribution=config)
    [failure] = state["failureContext"]["distributionFailure"]["regionFailures"]
    assert (failure["region"], failure["errorMessage"]) == ("us-east-1", distribution.QUOTA)
    assert len(shop.built(distribution=config)["outputResources"]["amis"]) == 2


# ---- The end of an image


def test_an_image_and_its_amis_get_another_status(shop, client):
    image = shop.built(distribution=shop.distribution(to("eu-west-1"), to("us-east-1")))
    amis = {one["region"]: one["image"] for one in image["outputResources"]["amis"]}
    shop.api.start_resource_state_update(resourceArn=image["arn"], state={"status": "DEPRECATED"})
    assert shop.look(image["arn"])["state"] == {"status": "DEPRECATED"}
    with refusal("ResourceNotFoundException"):
        shop.look(f"{BASE}:image/shop/x.x.x")
    asked = {"resourceArn": image["arn"], "includeResources": {"amis": True, "snapshots": True}}
    with refusal("InvalidParameterValueException", "executionRole"):
        shop.api.start_resource_state_update(**asked, state={"status": "DELETED"})
    asked["executionRole"] = trusted(client("iam"), "keeper", {"Service": "imagebuilder.amazonaws.com"})

    def update(status):
        said = shop.api.start_resource_state_update(**asked, state={"status": status})
        found = shop.api.get_lifecycle_execution(lifecycleExecutionId=said["lifecycleExecutionId"])
        return found["lifecycleExecution"]["state"]["status"]

    def states():
        return {
            client("ec2", region).describe_images(ImageIds=[ami])["Images"][0]["State"] for region, ami in amis.items()
        }

    assert (update("DISABLED"), states()) == ("SUCCESS", {"disabled"})
    assert (update("AVAILABLE"), states()) == ("SUCCESS", {"available"})
    shop.ec2.enable_image_deregistration_protection(ImageId=amis["eu-west-1"])
    assert update("DELETED") == "FAILED"
    shop.ec2.disable_image_deregistration_protection(ImageId=amis["eu-west-1"])
    assert update("DELETED") == "SUCCESS"
    assert client("ec2", "us-east-1").describe_images(ImageIds=[amis["us-east-1"]])["Images"] == []
    with refusal("ResourceNotFoundException"):
        shop.look(image["arn"])


def test_a_policy_of_lifecycles_is_kept(shop, client):
    trusted(client("iam"), "keeper", {"Service": "imagebuilder.amazonaws.com"})
    detail = {"action": {"type": "DELETE", "includeResources": {"amis": True}}, "filter": {"type": "COUNT", "value": 3}}
    asked = {"executionRole": "keeper", "resourceType": "AMI_IMAGE", "policyDetails": [detail], "tags": {"a": "b"}}
    asked["resourceSelection"] = {"recipes": [{"name": "shop", "semanticVersion": "x.x.x"}]}
    name = shop.api.create_lifecycle_policy(name="keep", **asked)["lifecyclePolicyArn"]
    found = shop.api.get_lifecycle_policy(lifecyclePolicyArn=name)["lifecyclePolicy"]
    assert (found["status"], found["policyDetails"], found["tags"]) == ("ENABLED", [detail], {"a": "b"})
    assert [one["arn"] for one in shop.api.list_lifecycle_policies()["lifecyclePolicySummaryList"]] == [name]
    with refusal("ResourceAlreadyExistsException"):
        shop.api.create_lifecycle_policy(name="keep", **asked)
    shop.api.delete_lifecycle_policy(lifecyclePolicyArn=name)
    with refusal("ResourceNotFoundException"):
        shop.api.get_lifecycle_policy(lifecyclePolicyArn=name)


# ---- Rights


@pytest.fixture
def may(shop, cloud, client):
    """Ask as a job with a role that has these statements."""

    def may(*statements):
        iam, name = client("iam"), f"role-{len(cloud.keys)}"
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        iam.put_role_policy(RoleName=name, PolicyName="x", PolicyDocument=json.dumps(document))
        other = Shop.__new__(Shop)
        other.__dict__ |= {**shop.__dict__, "api": client("imagebuilder")}
        cloud.roles[other.api._request_signer._credentials.access_key] = role
        return other

    return may


def allow(*actions, resource, **more):
    return {"Effect": "Allow", "Action": [f"imagebuilder:{one}" for one in actions], "Resource": resource, **more}


def test_each_operation_needs_its_own_action_on_its_own_resource(shop, may):
    bound = may(allow("CreateComponent", "GetComponent", resource=f"{BASE}:component/shop/*"))
    name = bound.component()
    assert bound.api.get_component(componentBuildVersionArn=name)
    with refusal("AccessDenied", f"imagebuilder:CreateComponent on resource: {BASE}:component/other/1.0.0/1"):
        bound.component(name="other")
    with refusal("AccessDenied", f"imagebuilder:TagResource on resource: {BASE}:component/shop/1.0.0/2"):
        bound.component(tags={"a": "b"})
    with refusal("AccessDenied", r"imagebuilder:ListImages on resource: \*"):
        bound.api.list_images()
    with refusal("AccessDenied", f"imagebuilder:ListImageBuildVersions on resource: {BASE}:image/shop/1.0.0"):
        bound.api.list_image_build_versions(imageVersionArn=f"{BASE}:image/shop/1.0.0")


def test_an_image_needs_its_recipe_and_its_configurations_too(shop, may):
    recipe = shop.recipe(shop.component())
    asked = {"imageRecipeArn": recipe, "infrastructureConfigurationArn": shop.infrastructure}
    image = allow("CreateImage", "GetImage", resource=f"{BASE}:image/shop/*")
    with refusal("AccessDenied", f"imagebuilder:GetImageRecipe on resource: {recipe}"):
        may(image).api.create_image(**asked)
    with refusal("AccessDenied", f"GetInfrastructureConfiguration on resource: {shop.infrastructure}"):
        may(image, allow("GetImageRecipe", resource=recipe)).api.create_image(**asked)
    both = allow("GetImageRecipe", "GetInfrastructureConfiguration", resource=[recipe, shop.infrastructure])
    name = may(image, both).api.create_image(**asked)["imageBuildVersionArn"]
    assert may(image).api.get_image(imageBuildVersionArn=name)
    with refusal("AccessDenied", f"CancelImageCreation on resource: {name}"):
        may(image).api.cancel_image_creation(imageBuildVersionArn=name)


def test_the_role_of_a_build_instance_must_be_passed(shop, may):
    make = allow("CreateInfrastructureConfiguration", resource="*")
    asked = {"name": "other", "instanceProfileName": "machine"}
    with refusal("AccessDenied", f"iam:PassRole on resource: {shop.role}"):
        may(make).api.create_infrastructure_configuration(**asked)
    to_ec2 = {"Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}}
    passing = {"Effect": "Allow", "Action": "iam:PassRole", "Resource": shop.role, **to_ec2}
    may(make, passing).api.create_infrastructure_configuration(**asked)


def test_tags_of_the_resource_and_of_the_request_decide(shop, may):
    name = shop.component(tags={"team": "checkout"})
    only = {"Condition": {"StringEquals": {"aws:ResourceTag/team": "checkout"}}}
    bound = may(allow("GetComponent", resource="*", **only))
    assert bound.api.get_component(componentBuildVersionArn=name)
    with refusal("AccessDenied"):
        bound.api.get_component(componentBuildVersionArn=shop.component(version="2.0.0"))
    asking = {"Condition": {"StringEquals": {"aws:RequestTag/team": "checkout"}}}
    tagger = may(allow("TagResource", resource="*", **asking))
    tagger.api.tag_resource(resourceArn=name, tags={"team": "checkout"})
    with refusal("AccessDenied"):
        tagger.api.tag_resource(resourceArn=name, tags={"team": "search"})


# ---- CloudFormation

TEMPLATE = f"""
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      RoleName: builder
      AssumeRolePolicyDocument: {{Version: "2012-10-17", Statement: []}}
      ManagedPolicyArns: [arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore]
  Profile:
    Type: AWS::IAM::InstanceProfile
    Properties: {{InstanceProfileName: builder, Roles: [!Ref Role]}}
  Component:
    Type: AWS::ImageBuilder::Component
    Properties:
      Name: base
      Version: 1.0.0
      Platform: Linux
      Data: '{steps(bash("touch /made"))}'
      Tags: {{team: checkout}}
  Recipe:
    Type: AWS::ImageBuilder::ImageRecipe
    Properties:
      Name: base
      Version: 1.0.0
      ParentImage: {NEWEST}
      Components: [{{ComponentArn: !Ref Component}}]
      BlockDeviceMappings: [{{DeviceName: /dev/xvda, Ebs: {{VolumeSize: "8", Encrypted: "true"}}}}]
  Infrastructure:
    Type: AWS::ImageBuilder::InfrastructureConfiguration
    Properties: {{Name: base, InstanceProfileName: !Ref Profile, InstanceTypes: [t3.micro]}}
  Distribution:
    Type: AWS::ImageBuilder::DistributionConfiguration
    Properties:
      Name: base
      Distributions:
        - Region: eu-west-1
          AmiDistributionConfiguration:
            Name: 'base {DATE}'
            LaunchPermissionConfiguration: {{UserIds: ["{OTHER}"]}}
Outputs:
  Recipe: {{Value: !Ref Recipe}}
  Infrastructure: {{Value: !GetAtt Infrastructure.Arn}}
  Distribution: {{Value: !Ref Distribution}}
"""


def test_a_stack_has_what_an_image_is_built_with(stack, client):
    assert stack.deploy(TEMPLATE, capabilities=["CAPABILITY_NAMED_IAM"]) == "CREATE_COMPLETE", stack.failures()
    made, api = stack.outputs(), client("imagebuilder")
    recipe = api.get_image_recipe(imageRecipeArn=made["Recipe"])["imageRecipe"]
    assert recipe["blockDeviceMappings"] == [{"deviceName": "/dev/xvda", "ebs": {"volumeSize": 8, "encrypted": True}}]
    name = api.create_image(
        imageRecipeArn=made["Recipe"], infrastructureConfigurationArn=made["Infrastructure"],
        distributionConfigurationArn=made["Distribution"],
    )["imageBuildVersionArn"]  # fmt: skip
    for _ in range(5):
        image = api.get_image(imageBuildVersionArn=name)["image"]
    assert image["state"]["status"] == "AVAILABLE", image["state"]
    assert client("ec2", account=OTHER).describe_images(ImageIds=[image["outputResources"]["amis"][0]["image"]])
    assert (
        stack.deploy(TEMPLATE.replace("t3.micro", "t3.small"), capabilities=["CAPABILITY_NAMED_IAM"])
        == "UPDATE_COMPLETE"
    )
    configured = api.get_infrastructure_configuration(infrastructureConfigurationArn=made["Infrastructure"])
    assert configured["infrastructureConfiguration"]["instanceTypes"] == ["t3.small"]


def test_a_recipe_that_changes_without_its_version_fails_the_stack(stack):
    assert stack.deploy(TEMPLATE, capabilities=["CAPABILITY_NAMED_IAM"]) == "CREATE_COMPLETE"
    changed = TEMPLATE.replace("/dev/xvda", "/dev/sda1")
    assert stack.deploy(changed, capabilities=["CAPABILITY_NAMED_IAM"]) != "UPDATE_COMPLETE"
    assert "already exists" in stack.failures()["Recipe"]


# ---- What is there


def test_a_forked_rehearsal_builds_its_own_images(shop, cloud, client):
    name = shop.image()
    if (pid := os.fork()) == 0:
        code = 1
        try:
            cloud.fork()
            shop.api = client("imagebuilder")
            assert shop.states(name)[-1] == "AVAILABLE"
            [ami] = shop.look(name)["outputResources"]["amis"]
            assert inside(ami["image"], "cat /opt/shop/greeting") == "hello"
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert shop.look(name)["state"]["status"] == "CREATING"


def test_everything_is_forgotten_and_forks_have_their_own(shop):
    ami = shop.built()["outputResources"]["amis"][0]["image"]
    home = roots.HOME[os.getpid()].name
    if (pid := os.fork()) == 0:
        code = 1
        try:
            assert inside(ami, "cat /opt/shop/greeting") == "hello"
            roots.KEPT["ami-child"] = roots.copy(roots.of_image(ami))
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert "ami-child" not in roots.KEPT
    assert inside(ami, "cat /opt/shop/greeting") == "hello"
    forget()
    assert not Path(home).exists()
    assert (roots.KEPT, STORES[HERE]["eu-west-1"].images) == ({}, {})


def test_every_operation_that_deliveries_need_is_there():
    needed = """CreateComponent GetComponent ListComponents ListComponentBuildVersions DeleteComponent CreateImageRecipe
        GetImageRecipe ListImageRecipes DeleteImageRecipe CreateInfrastructureConfiguration CreateImage GetImage
        GetInfrastructureConfiguration UpdateInfrastructureConfiguration DeleteInfrastructureConfiguration ListImages
        ListInfrastructureConfigurations CreateDistributionConfiguration GetDistributionConfiguration DeleteImage
        UpdateDistributionConfiguration DeleteDistributionConfiguration ListDistributionConfigurations DistributeImage
        ListImageBuildVersions CancelImageCreation ListWorkflowExecutions GetWorkflowExecution TagResource
        StartResourceStateUpdate GetLifecycleExecution CreateLifecyclePolicy GetLifecyclePolicy ListLifecyclePolicies
        DeleteLifecyclePolicy ListImageScanFindings UntagResource ListTagsForResource"""
    assert set(needed.split()) == OPERATIONS.keys()
    assert models().keys() > OPERATIONS.keys()
