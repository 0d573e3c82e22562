"""What the heads of the deploy tools say, and that the generator and the pack read the same."""

import re
from pathlib import Path

import aws
import botocore.session
import deployment
import head
import pytest
from dpra import deployers

FOLDER = Path(__file__).parents[2] / ".github/actions/_lib/deployers"
TOOLS = sorted(path.stem for path in FOLDER.glob("*.py"))
SAYS = {
    "deploys": {"stacks", "software", "images", "fleets", "commands"},
    "execution-role": {"cloudformation", "deploying-role", "imagebuilder"},
    "infrastructure": {"cloudformation", "cdk", "terraform"},
    "kind": {"container", "machine"},
}


@pytest.mark.parametrize("tool", TOOLS)
def test_a_deploy_tool_says_in_its_head_what_it_is(tool: str) -> None:
    said = head.header(FOLDER / f"{tool}.py")
    assert set(said) <= {*SAYS, "needs", "template", "changes", "pipelines", "default-for", "can", "base"}
    assert {"deploys", "pipelines"} <= set(said)
    for key, values in said.items():
        assert len(values) == 1, key
        assert key not in SAYS or values[0] in SAYS[key], key
    for other in said.get("needs", [""])[0].split():
        assert (FOLDER / f"{other}.py").is_file()
        assert f"import {other}" in (FOLDER / f"{tool}.py").read_text()


@pytest.mark.parametrize("tool", TOOLS)
def test_what_a_tool_changes_by_is_an_operation_of_aws_that_it_calls(tool: str) -> None:
    session = botocore.session.Session()
    made = deployers.every()[tool]
    todo, text = [FOLDER / f"{one}.py" for one in (tool, *made.needs)], ""
    for path in todo:  # grows while it is walked, by what of the pack it imports
        text += path.read_text()
        names = re.findall(r"^(?:import|from) (\w+)", path.read_text(), re.MULTILINE)
        todo += [one for name in names if (one := FOLDER.with_name(f"{name}.py")).is_file() and one not in todo]
    for one in made.changes:
        service, _, operation = one.partition(":")
        assert operation in session.get_service_model(service).operation_names, one
        assert "-".join(botocore.xform_name(operation).split("_")) in text, one


@pytest.mark.parametrize("tool", TOOLS)
def test_the_generator_and_the_pack_know_the_same_of_it(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INPUT_TOOL", tool)
    assert deployment.deploys_stacks() == (deployers.every()[tool].deploys == "stacks")


@pytest.mark.parametrize(
    ("region", "domain"),
    [
        ("eu-west-1", "amazonaws.com"),
        ("us-gov-west-1", "amazonaws.com"),
        ("cn-north-1", "amazonaws.com.cn"),
        ("cn-northwest-1", "amazonaws.com.cn"),
        ("eusc-de-east-1", "amazonaws.eu"),
    ],
)
def test_the_services_of_a_region_are_where_its_partition_has_them(region: str, domain: str) -> None:
    """As botocore knows it, and the generator, too."""
    from dpra import names

    assert aws.domain(region) == names.domain(region) == domain
    session = botocore.session.Session()
    partition = session.get_partition_for_region(region)
    [found] = [one for one in session.get_data("endpoints")["partitions"] if one["partition"] == partition]
    assert found["dnsSuffix"] == domain
