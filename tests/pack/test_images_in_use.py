"""What uses machine images, asked of moto by the real AWS CLI; of container images test_retire_images.py does it."""

from collections.abc import Callable
from typing import Any

import pytest

ACCOUNT, REGION = "123456789012", "eu-west-1"


@pytest.fixture
def looked(cloud: Callable[[str], Any]) -> Callable[[str], list[tuple[str, str]]]:
    """Kind and name of what uses an AMI."""

    def looked(image: str) -> list[tuple[str, str]]:
        import images_in_use

        return [(one.kind, one.by) for one in images_in_use.machine_images_in_use(REGION) if one.image == image]

    return looked


@pytest.fixture
def image(cloud: Callable[[str], Any]) -> str:
    """An AMI of the account that nothing uses but the instance, long gone, of which it was made."""
    from moto.ec2.models import ec2_backends

    ec2 = cloud("ec2")
    public = next(iter(ec2_backends["123456789012"][REGION].amis))
    instance = ec2.run_instances(ImageId=public, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    made = str(ec2.create_image(InstanceId=instance, Name="golden")["ImageId"])
    ec2.terminate_instances(InstanceIds=[instance])
    return made


def template(cloud: Any, name: str, image: str) -> str:
    made = cloud("ec2").create_launch_template(LaunchTemplateName=name, LaunchTemplateData={"ImageId": image})
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


def test_what_nothing_uses_is_not_in_use(looked: Any, image: str) -> None:
    assert looked(image) == []


def test_each_version_of_a_launch_template_uses_its_image(cloud: Any, looked: Any, image: str) -> None:
    made = template(cloud, "web", "ami-other")
    for data in ({"ImageId": image}, {"InstanceType": "t3.micro"}):
        cloud("ec2").create_launch_template_version(LaunchTemplateId=made, LaunchTemplateData=data)
    assert looked(image) == [("launch template, version 2", made)]


def test_a_launch_template_may_have_its_image_of_a_parameter(cloud: Any, looked: Any, image: str) -> None:
    cloud("ssm").put_parameter(Name="/images/web/latest", Type="String", Value=image)
    made = template(cloud, "web", "resolve:ssm:/images/web/latest")
    template(cloud, "dangling", "resolve:ssm:/images/web/gone")
    assert looked(image) == [("launch template, version 1", made)]
    cloud("ssm").put_parameter(Name="/images/web/latest", Type="String", Value="ami-next", Overwrite=True)
    assert looked(image) == []
    made = template(cloud, "pinned", "resolve:ssm:/images/web/latest:1")
    assert looked(image) == [("launch template, version 1", made)]


def test_a_launch_configuration_uses_its_image(cloud: Any, looked: Any, image: str) -> None:
    about = {"LaunchConfigurationName": "web", "ImageId": image, "InstanceType": "t3.micro"}
    cloud("autoscaling").create_launch_configuration(**about)
    [(kind, name)] = looked(image)
    assert kind == "launch configuration"
    assert name.startswith(f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:launchConfiguration:")


def test_an_auto_scaling_group_may_override_the_image(cloud: Any, looked: Any, image: str) -> None:
    specification = {"LaunchTemplateId": template(cloud, "web", "ami-other"), "Version": "1"}
    overrides = [{"InstanceType": "t3.micro", "ImageId": image}]
    policy = {"LaunchTemplate": {"LaunchTemplateSpecification": specification, "Overrides": overrides}}
    about = {"AutoScalingGroupName": "web", "MinSize": 0, "MaxSize": 0, "AvailabilityZones": [f"{REGION}a"]}
    cloud("autoscaling").create_auto_scaling_group(**about, MixedInstancesPolicy=policy)
    [(kind, name)] = looked(image)
    assert (kind, name.rpartition(":")[2]) == ("Auto Scaling group", "autoScalingGroupName/web")


def test_an_instance_uses_its_image_until_it_is_terminated(cloud: Any, looked: Any, image: str) -> None:
    ec2 = cloud("ec2")
    name = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    assert looked(image) == [("instance, running", name)]
    ec2.stop_instances(InstanceIds=[name])
    assert looked(image) == [("instance, stopped", name)]
    ec2.terminate_instances(InstanceIds=[name])
    assert looked(image) == []


def test_an_ami_that_was_made_of_another_uses_it(cloud: Any, looked: Any, image: str) -> None:
    from moto.ec2.models import ec2_backends

    copied = cloud("ec2").copy_image(SourceImageId=image, SourceRegion=REGION, Name="copy")["ImageId"]
    ec2_backends[ACCOUNT][REGION].amis[copied].source_image_id = image  # AWS says that of each, moto of none
    assert looked(image) == [("AMI made from it", copied)]


def test_a_parameter_for_an_ami_uses_it(cloud: Any, looked: Any, image: str) -> None:
    ssm = cloud("ssm")
    ssm.put_parameter(Name="/app/image", Type="String", DataType="aws:ec2:image", Value=image)
    ssm.put_parameter(Name="/app/words", Type="String", Value=image)
    assert looked(image) == [("parameter", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/app/image")]


# ---- More than a page


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """moto gives two at a time, as AWS gives so many; how often each operation was asked."""
    from moto.autoscaling.responses import AutoScalingResponse
    from moto.ec2.models.launch_templates import LaunchTemplateBackend
    from moto.ec2.responses import EC2Response
    from moto.ssm.responses import SimpleSystemManagerResponse

    asked: dict[str, int] = {}
    every = LaunchTemplateBackend.describe_launch_template_versions
    monkeypatch.setattr(  # where moto stops after 15
        LaunchTemplateBackend,
        "describe_launch_template_versions",
        lambda self, *given, **named: every(self, *given, **{**named, "max_results": 1000}),
    )
    for cls, name, key in (
        (EC2Response, "describe_launch_templates", "LaunchTemplates"),
        (EC2Response, "describe_launch_template_versions", "LaunchTemplateVersions"),
        (EC2Response, "describe_instances", "Reservations"),
        (EC2Response, "describe_images", "Images"),
        (AutoScalingResponse, "describe_launch_configurations", "LaunchConfigurations"),
        (AutoScalingResponse, "describe_auto_scaling_groups", "AutoScalingGroups"),
        (SimpleSystemManagerResponse, "describe_parameters", "Parameters"),
    ):
        monkeypatch.setattr(cls, name, paged(getattr(cls, name), name, key, asked))
    return asked


def paged(real: Any, name: str, key: str, asked: dict[str, int]) -> Callable[[Any], Any]:
    def page(self: Any) -> Any:
        from moto.core.responses import ActionResult

        asked[name] = asked.get(name, 0) + 1
        at = int(self._get_param("NextToken") or 0)
        self._get_param, self._get_int_param = everything(self._get_param), everything(self._get_int_param)
        answer = real(self)
        found = [*answer.result[key]]
        more = {"NextToken": str(at + 2)} if at + 2 < len(found) else {}
        rest = {name: value for name, value in answer.result.items() if name not in ("NextToken", key)}
        return ActionResult({**rest, key: found[at : at + 2], **more})

    return page


def everything(real: Any) -> Any:
    """As if nobody had asked for a page."""
    given = {"NextToken": None, "MaxResults": 50, "MaxRecords": 100}
    return lambda name, *more, **named: given[name] if name in given else real(name, *more, **named)


def moto_images() -> list[str]:
    from moto.ec2.models import ec2_backends

    return [*ec2_backends[ACCOUNT][REGION].amis]


def test_every_page_is_looked_at(cloud: Any, looked: Any, image: str, pages: dict[str, int]) -> None:
    from moto.ec2.models import ec2_backends

    ec2, scaling, ssm = cloud("ec2"), cloud("autoscaling"), cloud("ssm")
    used = {"ImageId": image, "InstanceType": "t3.micro"}
    public = moto_images()
    for number in range(5):  # what uses the image is among all that does not, at each of these places once
        last = number == 4
        made = template(cloud, f"web{number}", image if last else "ami-other")
        scaling.create_launch_configuration(
            **{**used, "ImageId": image if last else "ami-other"}, LaunchConfigurationName=f"web{number}"
        )
        ec2.create_launch_template_version(LaunchTemplateId=made, LaunchTemplateData={"ImageId": "ami-other"})
        overrides = [{"InstanceType": "t3.micro", "ImageId": image if last else "ami-other"}]
        specification = {"LaunchTemplateSpecification": {"LaunchTemplateId": made}, "Overrides": overrides}
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=f"web{number}",
            MinSize=0,
            MaxSize=0,
            AvailabilityZones=[f"{REGION}a"],
            MixedInstancesPolicy={"LaunchTemplate": specification},
        )
        value = image if last else public[number]
        ssm.put_parameter(Name=f"/app/{number}", Type="String", DataType="aws:ec2:image", Value=value)
        ec2.run_instances(ImageId=value, MinCount=1, MaxCount=1)
    for number in range(3):
        data = {"ImageId": image if number == 2 else "ami-other"}
        ec2.create_launch_template_version(LaunchTemplateId=made, LaunchTemplateData=data)
    for number in range(3):
        copied = ec2.copy_image(SourceImageId=image, SourceRegion=REGION, Name=f"copy{number}")["ImageId"]
        if number < 2:
            ec2_backends[ACCOUNT][REGION].amis[copied].source_image_id = "ami-other"
    kinds = sorted(kind for kind, _ in looked(image))
    assert kinds == [
        "AMI made from it",
        "Auto Scaling group",
        "instance, running",
        "launch configuration",
        "launch template, version 1",
        "launch template, version 5",
        "parameter",
    ]
    assert min(pages.values()) > 1, pages


@pytest.mark.parametrize(
    ("service", "operation", "says"),
    [
        ("ec2", "describe_launch_templates", "launch templates"),
        ("ec2", "describe_instances", "instances"),
        ("ec2", "describe_images", "AMIs"),
        ("autoscaling", "describe_launch_configurations", "launch configurations"),
        ("autoscaling", "describe_auto_scaling_groups", "Auto Scaling groups"),
        ("ssm", "describe_parameters", "parameters"),
    ],
)
def test_what_may_not_be_read_is_not_known(
    looked: Any, monkeypatch: pytest.MonkeyPatch, service: str, operation: str, says: str
) -> None:
    import images_in_use
    from moto.autoscaling.responses import AutoScalingResponse
    from moto.core.exceptions import AccessDeniedError
    from moto.ec2.responses import EC2Response
    from moto.ssm.responses import SimpleSystemManagerResponse

    classes: dict[str, Any] = {
        "ec2": EC2Response,
        "autoscaling": AutoScalingResponse,
        "ssm": SimpleSystemManagerResponse,
    }

    def deny(self: Any) -> Any:
        raise AccessDeniedError("somebody", operation)

    monkeypatch.setattr(classes[service], operation, deny)
    with pytest.raises(images_in_use.NotKnownError, match=f"what uses images in {REGION} is not known, of {says}$"):
        looked("ami-1")
