"""What a dpra.yml may say of its deploy tool, and what the pipeline has of it: its settings, its files, its rights."""

import re
from pathlib import Path

import pytest
from dpra import catalogue, deployers, problems, render
from dpra.plan import Plan
from dpra.rehearsal import scenarios
from dpra.spec import models, reader
from ruamel.yaml import YAML

SPECS = Path(__file__).parent / "specs"
GOOD = (SPECS / "minimal.yml").read_text()
ALARMED = re.compile(r'(222222222222"|033333333333")')
WATCHED = ALARMED.sub(r"\1, alarms: [a]", GOOD)
TOOLS = {  # a good spec's `deploy` of each
    "cloudformation": "{with: cloudformation}",
    "sam": "{with: sam, template: template.yaml, stack: Shop}",
    "cdk": '{with: cdk, cdk: {stacks: ["Base-{environment}", "Shop-{environment}-{region}"]}}',
    "appconfig": "{with: appconfig}",
    "terraform": '{with: terraform, terraform: {bucket: "state-{account}"}}',
    "ecs": "{with: ecs, ecs: {cluster: main, service: shop}}",
    "lambda": "{with: lambda, lambda: {function: shop, strategy: linear}}",
    "s3": '{with: s3, s3: {bucket: "site-{account}", prefix: docs/, distribution: "{environment}.shop.example"}}',
    "script": "{with: script, script: {preview: ./x --dry-run, command: ./x, running: cat y}}",
}

STACKS = ("cloudformation", "sam", "cdk", "appconfig")
SOFTWARE_ONLY = ("ecs", "lambda", "s3")


# A tool of another type than the application's.
CONFIGURATION = """\
pipeline: dynamic-configuration
actions:
  integration-tests: {command: ./test}
  acceptance-tests: {command: ./test}
  synthetic-tests: {command: ./test}
"""


def text(tool: str) -> str:
    language = "language: container\n" if tool == "ecs" else ""
    type_ = "" if tool in deployers.of("application") else CONFIGURATION
    return (GOOD if tool in STACKS else WATCHED) + type_ + language + f"deploy: {TOOLS[tool]}\n"


def made(spec: str) -> Plan:
    return problems.planned(reader.read(spec.encode(), catalogue.words()))


def wrong(spec: str) -> dict[str, str]:
    with pytest.raises(problems.PlanError) as caught:
        made(spec)
    return dict(caught.value.problems)


def test_the_tools_are_those_of_the_pack() -> None:
    there = {path.stem for path in Path(".github/actions/_lib/deployers").glob("*.py")}
    of_images = {name for name, tool in deployers.every().items() if tool.kind}  # tests/test_compute_image.py
    assert set(deployers.every()) == {*TOOLS, *of_images, "organizations"} == there
    assert of_images == {"ami", "ecr"}


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_gets_its_settings_and_only_its_own_file(tool: str) -> None:
    files = render.files(made(text(tool)))
    there = {Path(path).stem for path in files if "/deployers/" in path}
    assert there == ({tool, "cloudformation"} if tool in STACKS else {tool})
    jobs = YAML(typ="safe", pure=True).load(files[".github/workflows/pipeline.yml"].content)["jobs"]
    for job, action in (("beta", "deploy"), ("gamma", "deploy"), ("prod-1", "deploy"), ("rollback", "release")):
        [given] = [step["with"] for step in jobs[job]["steps"] if step.get("uses", "").endswith(f"dpra/{action}")]
        assert given.get("tool", "cloudformation") == tool
        assert ("settings" in given) == (tool not in ("cloudformation", "sam", "appconfig"))
        assert ("stack" in given) == (tool in STACKS)
        assert ("execution-role" in given) == (tool not in SOFTWARE_ONLY)
    terraform = {job for job in jobs for step in jobs[job]["steps"] if "setup-terraform" in step.get("uses", "")}
    assert terraform == ({"security", "beta", "gamma", "prod-1", "rollback"} if tool == "terraform" else set())


# The services of AWS that a role may use besides those of the release, the record and the alarms.
OWN = {
    "cloudformation": {"cloudformation", "iam"},
    "sam": {"cloudformation", "iam"},
    "cdk": {"cloudformation", "iam", "ssm"},
    "appconfig": {"appconfig", "cloudformation", "iam"},
    "terraform": {"sts"},
    "ecs": {"ecs", "iam"},
    "lambda": {"lambda"},
    "s3": {"cloudfront"},
    "script": {"sts"},
}
SHARED = {"cloudwatch", "kms", "s3"}


@pytest.mark.parametrize("tool", TOOLS)
def test_the_deploying_role_may_do_what_its_tool_needs_and_no_more(tool: str) -> None:
    files = render.files(made(text(tool)))
    for stage in ("beta", "gamma", "prod"):
        template = YAML(typ="rt", pure=True).load(files[f"infrastructure/dpra/{stage}.yml"].content)["Resources"]
        role = template[f"{stage.title()}Role"]["Properties"]
        statements = [one for policy in role["Policies"] for one in policy["PolicyDocument"]["Statement"]]
        actions = " ".join(str(one["Action"]) for one in statements)
        assert set(re.findall(r"(\w+):", actions)) - SHARED == OWN[tool]
        assert ("s3:DeleteObject" in actions) == (tool == "s3")
        wide = {str(one["Sid"]) for one in statements if one["Resource"] == "*"}
        assert wide <= {"ReadAlarms", "ReadTemplate", "DescribeTasks", "FindDistribution"}
        assert ("ExecutionRole" in template) == (tool not in SOFTWARE_ONLY)
        if "ExecutionRole" in template:
            [trust] = template["ExecutionRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
            assert ("Service" in trust["Principal"]) == (tool in STACKS)


def test_names_that_differ_by_environment_are_filled_in_for_aws() -> None:
    files = render.files(made(text("cdk")))
    prod = files["infrastructure/dpra/prod.yml"].content.decode()
    assert "stack/Shop-prod-eu-west-1/*" in prod
    assert "stack/Shop-prod-*" not in prod
    assert "stack/Base-prod/*" in prod
    assert "Base-prod Shop-prod-{region}" in files[".github/workflows/pipeline.yml"].content.decode()
    site = render.files(made(text("s3")))["infrastructure/dpra/gamma.yml"].content.decode()
    assert "arn:${AWS::Partition}:s3:::site-222222222222/docs/*" in site


@pytest.mark.parametrize("tool", TOOLS)
def test_the_plan_says_what_the_tool_does(tool: str) -> None:
    actions = {(one.stage, one.action): one for one in made(text(tool)).actions}
    assert actions["prod", "progressive-deployment"].tool == tool
    policy = actions["build", "policy-as-code"]
    assert policy.tool == {
        **dict.fromkeys(("cloudformation", "sam", "appconfig"), "cfn-guard"),
        "terraform": "trivy",
    }.get(tool, "")
    if tool in deployers.of("application"):
        assert actions["gamma", "deploy-software"].tool == tool
        launched = actions["gamma", "launch-environment"]
        assert (launched.status == "outside-pipeline") == (tool in SOFTWARE_ONLY)
        assert actions["beta", "database-deploy"].status == "left-out"


def test_the_plan_says_what_a_tool_cannot_do_of_what_the_type_does() -> None:
    for tool, says in (("appconfig", ""), ("script", "; not with script: drift, switch-off")):
        plan = made(text("appconfig").replace(TOOLS["appconfig"], TOOLS[tool]).replace(GOOD, WATCHED))
        reasons = {(one.stage, one.action): one.reason for one in plan.actions}
        assert reasons["prod", "progressive-deployment"].endswith(f"stops the pipeline here{says}")
        jobs = {job for workflow in plan.workflows.values() for job in workflow.jobs}
        assert jobs >= {"drift", "switch-off"} if not says else jobs.isdisjoint({"drift", "switch-off"})


def test_no_scenario_is_played_where_nobody_can_tell_what_runs_where() -> None:
    for tool in TOOLS:
        plan = made(text(tool))
        rows = scenarios.table(plan.spec.pipeline)
        unknown = [row for row in rows if f"what {tool} deployed" in scenarios.lacks(row, plan)]
        assert unknown == ([] if tool in STACKS else list(rows))


DATABASE = "database: {with: liquibase, reversible: true, url: jdbc:mysql://db.example/shop, user: delivery}"


@pytest.mark.parametrize(
    ("deploy", "key", "says"),
    [
        ("{with: ecs}", "with", "ecs needs its settings: deploy.ecs"),
        ("{s3: {bucket: x}}", "s3", "goes together with `with: s3`"),
        ("{with: s3, template: a.yml, s3: {bucket: x}}", "template", "s3 takes none"),
        ("{with: lambda, stack: x, lambda: {function: f}}", "stack", "lambda takes none"),
        ("{with: ecs, ecs: {cluster: a, service: b}}", "with", "ecs deploys container images: say language: container"),
        (
            "{with: lambda, lambda: {function: f, strategy: linear, pause: 6}}",
            "lambda.pause",
            "the shift takes 54 minutes; a job has time for 50",
        ),
        ("{database: {with: command, reversible: true, command: a}}", "database.preview", "is missing with command"),
        (
            "{database: {with: flyway, reversible: true, user: a, command: a, url: jdbc:mysql://x/y}}",
            "database.command",
            "goes not together with flyway",
        ),
        ("{database: {with: flyway, reversible: true, url: jdbc:mysql://x/y}}", "database", "needs user or secret"),
        ("{" + DATABASE[:-1] + ", secret: a}}", "database.secret", "either user or secret"),
    ],
)
def test_what_does_not_fit_together_is_told_with_its_key(deploy: str, key: str, says: str) -> None:
    assert wrong(f"{WATCHED}deploy: {deploy}\n") == {f"deploy.{key}": says}


def test_without_a_stack_somebody_must_name_the_alarms() -> None:
    said = wrong(f"{GOOD}deploy: {TOOLS['s3']}\n")
    assert said == {
        f"environments.{name}.alarms": "is missing: s3 has no stack with alarms" for name in ("gamma", "prod")
    }


def test_reversible_must_be_said() -> None:
    with pytest.raises(reader.Problems, match="'reversible' is missing"):
        reader.read(f"{GOOD}deploy: {{database: {{with: command}}}}\n".encode(), catalogue.words())


def test_a_database_is_changed_right_before_the_software() -> None:
    files = render.files(made(f"{GOOD}deploy: {{{DATABASE}}}\n"))
    jobs = YAML(typ="safe", pure=True).load(files[".github/workflows/pipeline.yml"].content)["jobs"]
    for job, action in (
        ("beta", "deploy-software"),
        ("gamma", "deploy-software"),
        ("prod-1", "progressive-deployment"),
    ):
        ids = [step.get("id") for step in jobs[job]["steps"]]
        assert ids.index("database-deploy") == ids.index(action) - 1
        [step] = [step for step in jobs[job]["steps"] if step.get("id") == "database-deploy"]
        assert ("wave" in step["with"], "record" in step["with"]) == (
            (True, True) if job == "prod-1" else (False, False)
        )
    assert "rds-db:connect" in files["infrastructure/dpra/beta.yml"].content.decode()
    assert "secrets." not in re.sub(
        r"secrets\.DPRA_WEBHOOK_URL", "", files[".github/workflows/pipeline.yml"].content.decode()
    )


def test_what_may_differ_by_environment_cannot_name_anything_else() -> None:
    for bad in ("a/../b", "a b", "{stage}", "${{ x }}", "*", "$(id)"):
        assert not re.fullmatch(models.FILLED.pattern, bad)
    assert re.fullmatch(models.FILLED.pattern, "shop-{environment}-{account}.{region}")


DOCUMENT = re.findall(r"^```yaml\n(.*?)^```$", Path("docs/deploy.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("number", range(len(DOCUMENT)))
def test_a_snippet_of_the_document_is_a_part_of_a_spec(number: int) -> None:
    own = DOCUMENT[number]
    made(WATCHED + (CONFIGURATION if "with: appconfig" in own else "") + own)
