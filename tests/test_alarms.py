"""A bake must be long enough for the alarms that the component's own template makes."""

from pathlib import Path

import pytest

TEMPLATE = """
Parameters:
  Period: {{Type: Number, Default: 300}}
  Periods: {{Type: Number, Default: "4"}}
  Given: {{Type: Number}}
Resources:
  Errors:
    Type: AWS::CloudWatch::Alarm
    Properties: {{AlarmName: !Sub "${{AWS::StackName}}-errors", Period: {period}, EvaluationPeriods: {periods}}}
  Topic: {{Type: AWS::SNS::Topic}}
"""

MATH = "60, Metrics: [{Id: a, Expression: b}, {Id: b, MetricStat: {Period: 300, Stat: Sum}}]"


def with_alarm(root: Path, period: object, periods: object, bake: str = "") -> None:
    (root / "infrastructure").mkdir(exist_ok=True)
    (root / "infrastructure/template.yml").write_text(TEMPLATE.format(period=period, periods=periods))
    if bake:
        spec = (root / "dpra.yml").read_text()
        old = 'prod: {account: "033333333333"}'
        assert old in spec
        (root / "dpra.yml").write_text(spec.replace(old, f'prod: {{account: "033333333333", bake: {bake}}}'))


def test_a_bake_that_ends_before_an_alarm_can_fire_is_a_problem_with_its_line(dpra, repository: Path) -> None:
    with_alarm(repository, 300, 4, bake="19")
    done = dpra("check", cwd=repository)
    assert done.returncode == 2
    assert done.stderr.startswith("dpra.yml:8:")
    said = "environments.prod.bake: 19 minutes end before the alarm Errors can fire: 300 s x 4 evaluation periods; "
    assert f"{said}it needs 20" in done.stderr


def test_the_default_bake_counts_too(dpra, repository: Path) -> None:
    with_alarm(repository, 901, 1)
    assert "15 minutes end before the alarm Errors" in dpra("plan", cwd=repository).stderr


@pytest.mark.parametrize(
    ("period", "periods", "bake"),
    [(300, 4, "20"), (60, 1, "1"), ("!Ref Given", 9, "1"), ("!Sub '${Period}'", 9, "1"), ("!Ref AWS::Region", 9, "1")],
)
def test_one_that_is_long_enough_or_cannot_be_known_passes(dpra, repository: Path, period, periods, bake) -> None:
    with_alarm(repository, period, periods, bake)
    assert dpra("plan", cwd=repository).returncode == 0


@pytest.mark.parametrize(
    ("period", "periods"), [("!Ref Period", 4), ("{Ref: Period}", '"4"'), ('"300"', "!Ref Periods"), (MATH, 4)]
)
def test_numbers_are_known_as_text_by_a_parameters_default_and_in_an_expression(
    dpra, repository: Path, period, periods
) -> None:
    with_alarm(repository, period, periods, bake="19")
    done = dpra("plan", cwd=repository)
    assert "19 minutes end before the alarm Errors can fire: 300 s x 4 evaluation periods" in done.stderr


def test_a_template_that_is_no_yaml_is_left_to_cfn_lint(dpra, repository: Path) -> None:
    (repository / "infrastructure").mkdir(exist_ok=True)
    (repository / "infrastructure/template.yml").write_text("AWS::CloudWatch::Alarm: [\n")
    assert dpra("plan", cwd=repository).returncode == 0
