"""What a change set is good for is said by its status: outputs and tags change without a resource that does.

The real deployer and the real CLI against moto, which makes change sets as CloudFormation does."""

from typing import Any

import pytest

from .conftest import ONE, TWO, Bench

TEMPLATE = """
Description: a shop
Metadata: {Owner: one}
Parameters:
  Environment: {Type: String}
  Colour: {Type: String, Default: blue}
  Unused: {Type: String, Default: one}
Conditions: {Wide: !Equals [!Ref Colour, red]}
Mappings: {Names: {of: {the: shop}}}
Resources:
  Kept: {Type: AWS::SSM::Parameter, Properties: {Name: /kept, Type: String, Value: kept}}
Outputs:
  Url: {Value: !Sub "https://${Environment}.example/1"}
  Colour: {Value: !Ref Colour}
  Width: {Value: !If [Wide, wide, narrow]}
"""
UNTAGGED = """
Resources:
  Reads:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      PolicyDocument: {Version: "2012-10-17", Statement: [{Effect: Allow, Action: "s3:GetObject", Resource: "*"}]}
Outputs: {Url: {Value: "https://shop.example"}}
"""
Change = tuple[str, str]


class Stack:
    def __init__(self, bench: Bench, cloud: Any) -> None:
        self.bench, self.cloud = bench, cloud
        self.digest = bench.release(ONE, {"a": "1"}, TEMPLATE)
        bench.use("cloudformation", stack="shop")

    def bring(self, template: str, commit: str = ONE) -> Any:
        """The same release, so that no tag changes unless the commit does."""
        self.bench.monkeypatch.setenv("GITHUB_RUN_ID", str(len(self.bench.happened) + 100))
        (self.bench.job.workspace / self.digest / "template.yml").write_text(template)
        return self.bench.deploy(self.digest, commit)

    @property
    def updates(self) -> int:
        events = self.cloud("cloudformation").describe_stack_events(StackName="shop")["StackEvents"]
        return sum((one["LogicalResourceId"], one["ResourceStatus"]) == ("shop", "UPDATE_COMPLETE") for one in events)

    @property
    def now(self) -> dict[str, Any]:
        [found] = self.cloud("cloudformation").describe_stacks(StackName="shop")["Stacks"]
        return dict(found)


@pytest.fixture
def stack(bench: Bench, cloud: Any) -> Stack:
    return Stack(bench, cloud)


OUTPUTS: dict[str, tuple[list[Change], dict[str, str]]] = {
    "its value": ([("example/1", "example/2")], {"Url": "https://gamma.example/2"}),
    "another output": ([("Outputs:", "Outputs:\n  New: {Value: new}")], {"New": "new"}),
    "one less": ([("  Colour: {Value: !Ref Colour}\n", "")], {}),
    "of a resource": ([("{Value: !Ref Colour}", "{Value: !Ref Kept}")], {"Colour": "/kept"}),
    "a parameter that only outputs use": ([("Default: blue", "Default: green")], {"Colour": "green"}),
    "a condition that only outputs use": (
        [("Wide: !Equals [!Ref Colour, red]", "Wide: !Equals [!Ref Colour, blue]")],
        {"Width": "wide"},
    ),
    "an export": ([("{Value: !Ref Colour}", "{Value: !Ref Colour, Export: {Name: shop-colour}}")], {}),
    "its description": ([("{Value: !Ref Colour}", "{Value: !Ref Colour, Description: it is painted}")], {}),
}


@pytest.mark.parametrize(("changes", "outputs"), OUTPUTS.values(), ids=OUTPUTS)
def test_a_change_of_outputs_alone_is_brought(
    stack: Stack, changes: list[Change], outputs: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    first = stack.bring(TEMPLATE).outputs
    text = TEMPLATE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    done = stack.bring(text)
    assert "shop: no resource changes, but outputs, parameters or tags do" in stack.bench.says(capsys)
    assert outputs.items() <= done.outputs.items()
    gone = {name for name in first if f"  {name}: {{Value" not in text}
    assert done.outputs.keys() == {*first, *outputs} - gone
    assert (stack.now["StackStatus"], stack.updates) == ("UPDATE_COMPLETE", 1)
    stack.bring(text)
    assert "shop: no changes" in stack.bench.says(capsys)  # it is there now
    assert stack.updates == 1


def test_a_change_of_tags_alone_is_brought(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    """Without it nothing would say which release runs."""
    stack.bring(UNTAGGED)
    stack.bring(UNTAGGED, TWO)
    assert "shop: no resource changes, but outputs, parameters or tags do" in stack.bench.says(capsys)
    assert {"Key": "dpra:commit", "Value": TWO} in stack.now["Tags"]
    assert stack.updates == 1


def test_tags_of_resources_are_changes_of_resources(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    stack.bring(TEMPLATE)
    stack.bring(TEMPLATE, TWO)
    assert "Modify Kept AWS::SSM::Parameter" in stack.bench.says(capsys)


NOTHING: dict[str, Change] = {
    "nothing at all": ("", ""),
    "a description": ("a shop", "a large shop"),
    "metadata": ("Owner: one", "Owner: two"),
    "a parameter that nothing uses": ("Default: one", "Default: two"),
    "a mapping that nothing uses": ("the: shop", "the: store"),
    "the order of the outputs": (
        "  Colour: {Value: !Ref Colour}\n  Width: {Value: !If [Wide, wide, narrow]}\n",
        "  Width: {Value: !If [Wide, wide, narrow]}\n  Colour: {Value: !Ref Colour}\n",
    ),
}


@pytest.mark.parametrize(("old", "new"), NOTHING.values(), ids=NOTHING)
def test_what_cloudformation_does_not_take_for_a_change_is_none(
    stack: Stack, old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = stack.bring(TEMPLATE).outputs
    assert old in TEMPLATE
    done = stack.bring(TEMPLATE.replace(old, new) if old else TEMPLATE)
    assert "shop: no changes" in stack.bench.says(capsys)
    assert (done.outputs, stack.updates) == (first, 0)
    left = stack.cloud("cloudformation").list_change_sets(StackName="shop")["Summaries"]
    assert {one["ExecutionStatus"] for one in left} == {"EXECUTE_COMPLETE"}
