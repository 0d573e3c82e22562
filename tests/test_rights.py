"""A job that may get a role of AWS runs no command of the repository and installs none of its dependencies.

Held over every generated workflow: the golden trees, and a spec for each exception that is listed."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dpra import catalogue, check_tools, deployers, evidence, problems, render, resources
from dpra.names import VENDORED
from dpra.spec import reader
from ruamel.yaml import YAML

TESTS = Path(__file__).parent
SPECS = sorted((TESTS / "specs").glob("*.yml"))
EXCEPTIONS = resources.data("exceptions.yml")
MINIMAL = (TESTS / "specs/minimal.yml").read_text("utf-8")
PACKER = (TESTS / "specs/machine.yml").read_text("utf-8").replace("{kind: machine,", "{kind: machine, with: packer,")
SCRIPT = "script: {preview: make preview, command: make deploy, running: make running}"
MORE = {
    "script": f"deploy: {{with: script, {SCRIPT}}}\n",
    "database": "deploy:\n  database: {with: command, preview: a, command: b, secret: c, reversible: true}\n",
    "test": "actions: {acceptance-tests: {role: read}}\n",
    "canary": "actions: {synthetic-tests: {canary: a}, resilience-tests: {tool: fis}, performance-tests: {}}\n",
}
# What of the pack a job with a role may use, whatever its inputs: it runs nothing of the repository.
ALONE = {"store", "release", "deploy", "bake", "canary", "notify", "await-tests", "performance-history", "resume"}
ALONE |= {"account-requests", "base", "close-account", "flag", "fleet", "retire-images"}
# Environments of kind machine -> their exceptions.
IMAGES = {"test-bake": "packer", "test-build": "bake", "test-images": "image-tests"}
OURS = re.compile(rf"(?!.*\.\.)(python3 -I -B|bash) {re.escape(VENDORED)}/[\w./-]+")
PINNED = re.compile(r"[\w-]+/[\w./-]+@[0-9a-f]{40}")
TOOLCHAINS = re.compile(r"actions/(setup-\w+|cache)@")
COMMANDS = {name for name, one in deployers.every().items() if one.deploys == "commands"}
BY_ROLE = {tool.name for tool in check_tools.every() if "by-role" in tool.head}


def workflows() -> Iterator[tuple[str, Any]]:
    yaml = YAML(typ="safe", pure=True)
    for path in sorted((TESTS / "golden").glob("*/.github/workflows/*.yml")):
        yield path.relative_to(TESTS / "golden").as_posix(), yaml.load(path)
    texts = {name: re.sub(r"(?m)^deploy:.*\n", "", MINIMAL) + more for name, more in MORE.items()}
    texts["script"] = re.sub(r"(gamma|prod): \{", r"\1: {alarms: [a], ", texts["script"])  # it has no stack with alarms
    for name, text in {**texts, "packer": PACKER}.items():
        plan = problems.planned(reader.read(text.encode(), catalogue.words()))
        for path, file in render.files(plan).items():
            if path.startswith(".github/workflows/"):
                yield f"{name}/{path}", yaml.load(file.content)


def own_code(job: Any, step: Any) -> Iterator[str]:
    """What of the repository a step runs, in a word: an exception's name, or what else it is."""
    uses, run, given = str(step.get("uses", "")), step.get("run"), step.get("with", {})
    action = uses.removeprefix(f"./{VENDORED}/")
    environment = str(job.get("environment", ""))
    listed = IMAGES.get(environment, "test" if environment.endswith("-tests") else "")
    if run is not None and not OURS.fullmatch(run):
        yield listed or f"the command {run!r}"
    elif uses.startswith("actions/checkout@") and given.get("sparse-checkout") != VENDORED:
        yield listed or "a checkout of the repository"
    elif TOOLCHAINS.match(uses):
        yield listed or f"the toolchain of {uses}"
    elif uses.startswith("hashicorp/setup-terraform@"):
        yield "terraform"
    elif uses.startswith("./") and action not in ALONE:
        if action == "database-deploy":
            yield "database"
        elif action == "image" and given["do"] in ("unchanged", "difference"):
            pass  # the two that look at data
        elif action == "machine" and given["do"] in ("look", "sweep"):
            pass
        elif not (action == "check" and set(given["tool"].split()) <= BY_ROLE):
            yield listed or f"the action {action}"
    elif uses and not uses.startswith("./") and not PINNED.fullmatch(uses):
        yield f"{uses}, which is not pinned"
    if given.get("tool") in COMMANDS:
        yield str(given["tool"])


def found() -> Iterator[tuple[str, str, str]]:
    for path, workflow in workflows():
        for name, job in workflow["jobs"].items():
            if job.get("permissions", {}).get("id-token") == "write":
                for step in job["steps"]:
                    for what in own_code(job, step):
                        yield path, name, what


def test_a_job_that_may_get_a_role_runs_nothing_of_the_repository_but_what_is_listed() -> None:
    every = list(found())
    assert [one for one in every if one[2] not in EXCEPTIONS] == []
    assert {what for _, _, what in every} == set(EXCEPTIONS), "a listed exception is no longer used"


def test_packer_has_a_job_of_its_own_from_which_no_other_takes_anything() -> None:
    plan = problems.planned(reader.read(PACKER.encode(), catalogue.words()))
    assert {one.id for one in plan.workflows["pull-request"].jobs.values()} & {"bake", "build"} == set()
    for name in ("pipeline", "hotfix"):
        jobs = plan.workflows[name].jobs
        made = YAML(typ="safe", pure=True).load(render.files(plan)[f".github/workflows/{name}.yml"].content)["jobs"]
        packed = [one for one, job in made.items() if "'do': 'packer'" in str(job["steps"])]
        assert packed == ["bake"]
        assert (jobs["bake"].trusted, jobs["build"].trusted, jobs["build"].needs) == (False, True, ("bake",))
        assert jobs["bake"].role is not None
        assert jobs["bake"].role.environments == ("test-bake",)
        assert "outputs" not in made["bake"]
        assert "needs.bake" not in str(made).replace("needs.bake.result", "")
        kept = [step["with"] for step in made["bake"]["steps"] if "upload-artifact@" in str(step.get("uses"))]
        assert [one["path"] for one in kept] == ["${{ runner.temp }}/dpra/"]


SHARING = (
    "ec2:Modify",
    "ec2:CreateSnapshot",
    "ec2:Register",
    "ec2:Copy",
    "ec2:Authorize",
    "ssm:SendCommand",
    "iam:Create",
)


def test_the_role_of_packer_shares_nothing_and_names_what_it_changes() -> None:
    plan = problems.planned(reader.read(PACKER.encode(), catalogue.words()))
    for statement in role(plan, "test", "TestBakeRole")["Policies"][0]["PolicyDocument"]["Statement"]:
        actions = many(statement["Action"])
        assert not [one for one in actions if one.startswith(SHARING) or "*" in one], statement["Sid"]
        looks = all(re.fullmatch(r"\w+:(Describe|Get)\w+", one) for one in actions)
        assert looks or statement["Resource"] != "*", statement["Sid"]
    looking = role(plan, "test", "TestBuildRole")["Policies"][0]["PolicyDocument"]["Statement"]
    assert not [one for one in looking if "imagebuilder" in str(one)]
    machines = yaml_of(render.infrastructure(plan)["infrastructure/dpra/machines.yml"])["Resources"]
    assert "ImageBuilder" not in str(machines)
    assert machines["NoPort"]["Properties"].keys().isdisjoint({"SecurityGroupIngress"})


def test_a_job_of_tests_has_the_permission_only_where_a_role_is_asked_for() -> None:
    seen = {True: 0, False: 0}
    for path, workflow in workflows():
        for name, job in workflow["jobs"].items():
            if re.fullmatch(r"\w+-tests(-\d+)?", name):
                asks = "environment" in job
                assert (job["permissions"].get("id-token") == "write") is asks, (path, name)
                # The tests of a machine's image start it, and by that have its role.
                taking = "configure-aws-credentials" if name != "image-tests" else f"{VENDORED}/machine"
                assert any(taking in str(step.get("uses")) for step in job["steps"]) is asks
                assert asks or "DPRA_ROLE" not in str(job), (path, name)
                seen[asks] += 1
    assert min(seen.values()) > 3


@pytest.mark.parametrize("step", [
    {"run": "make"}, {"run": f"python3 -I -B {VENDORED}/../x.py; make"}, {"uses": "actions/checkout@v7"},
    {"uses": f"./{VENDORED}/test", "with": {"command": "make"}},
    {"uses": f"./{VENDORED}/check", "with": {"tool": "k6"}},
    {"uses": f"./{VENDORED}/check", "with": {"tool": "fis chaostoolkit"}}, {"uses": "./.github/actions/mine"},
    {"uses": f"actions/setup-node@{'0' * 40}"}, {"uses": "acme/x@v1"}, {"run": "npm ci"},
    {"uses": f"./{VENDORED}/build", "with": {"command": "make"}},
])  # fmt: skip
def test_what_runs_code_of_the_repository_is_seen(step: dict[str, Any]) -> None:
    assert [one for one in own_code({"environment": "gamma"}, step) if one not in EXCEPTIONS]


def test_the_golden_trees_are_those_of_the_specs() -> None:
    assert {path.stem for path in SPECS} == {path.name for path in (TESTS / "golden").iterdir()}


# ---- Which job does what


def planned(more: str) -> Any:
    return problems.planned(reader.read((MINIMAL + more).encode(), catalogue.words()))


def doing(plan: Any, action: str) -> list[str]:
    return [job.id for job in plan.jobs.values() if action in job.steps and plan.runs(action)]


@pytest.mark.parametrize(
    ("said", "action", "jobs"),
    [
        ("", "synthetic-tests", ["gamma-tests", "prod-tests-1"]),
        ("synthetic-tests: {canary: a}", "synthetic-tests", ["gamma-monitor", "prod-bake-1"]),
        ("synthetic-tests: {canary: a, command: make}", "synthetic-tests",
         ["gamma-tests", "gamma-monitor", "prod-tests-1", "prod-bake-1"]),
        ("resilience-tests: {}", "resilience-tests", ["gamma-tests"]),
        ("resilience-tests: {tool: fis}", "resilience-tests", ["gamma-monitor"]),
        ("resilience-tests: {tool: [fis, chaostoolkit]}", "resilience-tests", ["gamma-tests", "gamma-monitor"]),
        ("performance-tests: {}", "performance-tests", ["gamma-tests"]),
    ],
)  # fmt: skip
def test_what_aws_itself_does_is_done_in_a_trusted_job(said: str, action: str, jobs: list[str]) -> None:
    plan = planned(f"actions: {{{said}}}\n" if said else "")
    assert doing(plan, action) == jobs
    promised = [one["job"] for one in evidence.expected(plan)["pipeline"] if one["action"] == action]
    assert promised == jobs
    made = YAML(typ="safe", pure=True).load(render.files(plan)[".github/workflows/pipeline.yml"].content)["jobs"]
    assert [name for name, job in made.items() if action in [step.get("id") for step in job["steps"]]] == jobs
    for job in made.values():
        for step in job["steps"]:
            tools = str(step.get("with", {}).get("tool", "")).split()
            if step.get("id") == "resilience-tests":
                assert (set(tools) <= BY_ROLE) is ("id-token" in job["permissions"])


def test_a_job_without_tests_is_not_there_and_nobody_waits_for_it() -> None:
    plan = planned("actions: {synthetic-tests: {canary: a}}\n")
    assert not {"gamma-tests", "prod-tests-1"} & set(plan.jobs)
    assert plan.jobs["gamma-monitor"].needs == ("gamma",)
    assert plan.jobs["prod-bake-1"].needs == ("prod-1",)


def test_production_is_tested_before_it_bakes_and_what_fails_there_goes_back() -> None:
    text = '  prod: {account: "033333333333", waves: [[eu-west-1], [us-east-1]]}\n'
    plan = problems.planned(reader.read(re.sub(r"  prod: .*\n", text, MINIMAL).encode(), catalogue.words()))
    jobs = plan.jobs
    assert jobs["prod-tests-1"].needs == ("prod-1",)
    assert jobs["prod-bake-1"].needs == ("prod-tests-1",)
    assert "prod-bake-1" in jobs["prod-2"].needs
    assert {"prod-tests-1", "prod-tests-2"} <= set(jobs["rollback"].needs)
    assert {"prod-tests-1", "prod-tests-2"} <= set(jobs["report"].needs)
    assert not any(name.startswith("prod-tests") for name in plan.workflows["hotfix"].jobs)
    # `resume` knows the job that deploys the first wave by the start of its name.
    assert [name for name, job in jobs.items() if job.name.startswith("Prod, wave 1")] == ["prod-1"]


@pytest.mark.parametrize(
    ("said", "key", "problem"),
    [
        ("deploy-software: {before: [{name: a, run: make}]}", "actions.deploy-software.before", "or use a role of AWS"),
        ("progressive-deployment: {after: [{name: a, uses: ./x}]}", "actions.progressive-deployment.after", "pinned"),
        ("integration-tests: {role: 'arn:aws:iam::999999999999:policy/x'}", "actions.integration-tests.role",
         "a policy of another account"),
        ("synthetic-tests: {role: 'arn:aws:iam::222222222222:policy/x'}", "actions.synthetic-tests.role",
         "a policy of another account"),
        ("integration-tests: {role: 'arn:aws-cn:iam::aws:policy/x'}", "actions.integration-tests.role",
         "a policy of another partition"),
    ],
)  # fmt: skip
def test_what_would_bring_code_or_rights_where_they_do_not_belong_is_refused(said: str, key: str, problem: str) -> None:
    with pytest.raises(problems.PlanError) as raised:
        planned(f"actions: {{{said}}}\n")
    assert problem in raised.value.problems[key]


def role(plan: Any, environment: str, name: str) -> Any:
    template = yaml_of(render.infrastructure(plan)[f"infrastructure/dpra/{environment}.yml"])
    return template["Resources"].get(name, {}).get("Properties")


def yaml_of(text: str) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.constructor.add_multi_constructor("!", lambda loader, tag, node: node.value)
    return yaml.load(text)


def test_the_role_of_tests_is_there_where_it_is_asked_for_and_reads_only() -> None:
    plan = planned(
        "actions: {integration-tests: {role: read}, synthetic-tests: {role: 'arn:aws:iam::{account}:policy/t'}}\n"
    )
    read = role(plan, "beta", "BetaTestsRole")
    assert "ManagedPolicyArns" not in read
    allowed = [action for one in read["Policies"][0]["PolicyDocument"]["Statement"] for action in many(one["Action"])]
    assert all(re.fullmatch(r"\w+:(BatchGet|Describe|Filter|Get|List|Query|Scan)\w*", action) for action in allowed)
    assert not [
        action for action in allowed if action.split(":")[0] in ("iam", "kms", "s3", "secretsmanager", "ssm", "sts")
    ]
    [subject] = many(condition(read))
    assert subject.endswith(":environment:beta-tests")
    for environment, account in (("gamma", "222222222222"), ("prod", "033333333333")):
        own = role(plan, environment, f"{environment.title()}TestsRole")
        assert own["ManagedPolicyArns"] == [f"arn:aws:iam::{account}:policy/t"]
        assert "Policies" not in own
    assert role(planned(""), "beta", "BetaTestsRole") is None


def condition(properties: Any) -> Any:
    [statement] = properties["AssumeRolePolicyDocument"]["Statement"]
    return statement["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"]


def many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("environment", ["gamma", "prod"])
def test_who_looks_may_start_what_is_named_and_nothing_more(environment: str) -> None:
    name = {"gamma": "GammaMonitorRole", "prod": "ProdBakeRole"}[environment]

    def sids(more: str) -> set[str]:
        statements = role(planned(more), environment, name)["Policies"][0]["PolicyDocument"]["Statement"]
        return {one["Sid"] for one in statements}

    plain = sids("")
    assert sids('actions: {synthetic-tests: {canary: "shop-{environment}"}}\n') - plain == {"RunCanary"}
    more = sids("actions: {resilience-tests: {tool: fis}, performance-tests: {}}\n") - plain
    assert more == ({"RunExperiments", "KeepFigures"} if environment == "gamma" else set())
