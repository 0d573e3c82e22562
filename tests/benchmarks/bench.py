"""dpra generate against its peers, in one run; writes what it measured into README.md beside this file.

Whole processes: wall time and peak memory, by turns (A B C, A B C, …), so that a busy moment hits all alike. Each
contender's work is checked once before it is measured: it really writes a pipeline with the jobs named.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SPEC = (ROOT / "tests/specs/minimal.yml").read_text("utf-8")
CONFIGURATION = (ROOT / "tests/specs/configuration.yml").read_text("utf-8")
IMAGE = (ROOT / "tests/specs/image.yml").read_text("utf-8")
MACHINE = (ROOT / "tests/specs/machine.yml").read_text("utf-8")
FLEET = (ROOT / "tests/specs/organisation.yml").read_text("utf-8")
PIPELINE = ".github/workflows/pipeline.yml"
# What `dpra generate` takes from others, as it takes it; the floor that its own code stands on.
FLOOR = """
import collections.abc, dataclasses, functools, hashlib, importlib.util, json, os, pathlib, re, subprocess
import click, jinja2, ruamel.yaml
"""


# As a user has it: with bytecode from the run before.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
ENVIRONMENT |= {"PROJEN_DISABLE_POST": "true"}


@dataclass(frozen=True)
class Contender:
    """`command` runs in a fresh folder that `prepare` filled; `made` is a file that it must have written."""

    name: str
    command: list[str]
    prepare: Callable[[Path], None]
    made: str = ""
    holds: tuple[str, ...] = ()


def git(folder: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)


def spec_alone(folder: Path) -> None:
    git(folder)
    (folder / "dpra.yml").write_text(SPEC, "utf-8")


def spec_of_configuration(folder: Path) -> None:
    git(folder)
    (folder / "dpra.yml").write_text(CONFIGURATION, "utf-8")


def spec_of_image(folder: Path) -> None:
    git(folder)
    (folder / "dpra.yml").write_text(IMAGE, "utf-8")
    (folder / "Dockerfile").write_text("FROM scratch\n", "utf-8")


def spec_of_machine(folder: Path) -> None:
    git(folder)
    (folder / "dpra.yml").write_text(MACHINE, "utf-8")
    (folder / "components").mkdir()
    (folder / "components/10-base.yml").write_text("schemaVersion: 1.0\n", "utf-8")


def spec_of_fleet(folder: Path) -> None:
    git(folder)
    (folder / "dpra.yml").write_text(FLEET, "utf-8")
    (folder / "organisation.yml").write_text("units: {}\n", "utf-8")


def first(folder: Path) -> None:
    shutil.rmtree(folder.parent.parent / "none", ignore_errors=True)
    spec_alone(folder)


def generated(folder: Path) -> None:
    spec_alone(folder)
    command = [sys.executable, "-m", "dpra", "generate"]
    subprocess.run(command, cwd=folder, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)


def steps_of_the_pipeline(folder: Path) -> dict[str, list[str]]:
    """job -> names of its steps, in the pipeline that dpra generates from the spec."""
    from ruamel.yaml import YAML

    generated(folder)
    jobs = YAML(typ="safe", pure=True).load(folder / PIPELINE)["jobs"]
    return {job: [step["name"] for step in of["steps"]] for job, of in jobs.items()}


def contenders(scratch: Path) -> list[Contender]:
    jobs = steps_of_the_pipeline(_folder(scratch / "steps"))
    (scratch / "jobs.json").write_text(json.dumps(jobs), "utf-8")
    template = scratch / "template"  # without its hook, which calls dpra
    shutil.copytree(ROOT / "cookiecutter-dpra", template, ignore=shutil.ignore_patterns("hooks"))
    dpra = [sys.executable, "-m", "dpra", "generate"]
    stages = ("beta", "gamma", "prod")
    return [
        Contender("dpra generate, nothing there yet", dpra, spec_alone, PIPELINE, tuple(jobs)),
        Contender(
            "dpra generate, the first on a machine",
            ["env", f"XDG_CACHE_HOME={scratch / 'none'}", *dpra],
            first,
            PIPELINE,
        ),
        Contender("dpra generate, dynamic configuration", dpra, spec_of_configuration, PIPELINE, stages),
        Contender("dpra generate, compute image", dpra, spec_of_image, PIPELINE, ("test", "prod")),
        Contender("dpra generate, machine image", dpra, spec_of_machine, PIPELINE, ("test", "prod")),
        Contender("dpra generate, account fleet", dpra, spec_of_fleet, PIPELINE, stages),
        Contender("dpra generate, all current", dpra, generated, PIPELINE, tuple(jobs)),
        Contender(
            "projen",
            ["node", str(HERE / "projen.cjs"), str(scratch / "jobs.json"), "."],
            git,
            PIPELINE,
            tuple(jobs),
        ),
        Contender("cdk-pipelines-github", ["node", str(HERE / "cdk_pipelines_github.cjs")], git, PIPELINE, stages),
        Contender(
            "cookiecutter",
            [sys.executable, "-m", "cookiecutter", "--no-input", str(template), "name=shop"],
            git,
            "shop/dpra.yml",
            ("name: shop",),
        ),
        Contender("bare imports", [sys.executable, "-c", FLOOR], git),
        Contender("bare Python", [sys.executable, "-c", "pass"], git),
    ]


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def run(one: Contender, folder: Path) -> tuple[float, float]:
    """Seconds and peak MiB of one run."""
    one.prepare(folder)
    with (folder.parent / "out").open("w") as out:
        start = time.perf_counter()
        process = subprocess.Popen(one.command, cwd=folder, env=ENVIRONMENT, stdout=out, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{one.name}: exit code {process.returncode}\n{(folder.parent / 'out').read_text()[-2000:]}")
    return seconds, used.ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024)


def measure(all_: list[Contender], rounds: int, scratch: Path) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {one.name: [] for one in all_}
    for number in range(rounds + 1):
        print(f"round {number} of {rounds}{' (warm-up, not counted)' if not number else ''}", file=sys.stderr)
        for index, one in enumerate(all_):
            folder = _folder(scratch / f"{number}-{index}" / "work")
            seconds = run(one, folder)
            if number:
                found[one.name].append(seconds)
            elif one.made:
                text = (folder / one.made).read_text("utf-8")
                if missing := [word for word in one.holds if word not in text]:
                    sys.exit(f"{one.name}: {one.made} lacks {', '.join(missing)}")
            # Nothing is removed before the end: ext4 looks long for an inode where many were just freed.
    return found


PHASES = """
import sys, time
marks = [("", time.perf_counter())]
def mark(name): marks.append((name, time.perf_counter()))
import click; mark("import click")
import ruamel.yaml; mark("import ruamel.yaml")
import json, subprocess, hashlib, importlib.util; mark("import the standard library's")
from dpra import cli, catalogue, problems; from dpra.spec import reader; mark("import dpra's modules up to the plan")
from pathlib import Path; root = Path("."); data = reader.read_bytes(root / "dpra.yml", root); mark("read the file")
words = catalogue.words(); mark("load the catalogue and the table of languages")
spec = reader.read(data, words); mark("read the spec")
made = problems.planned(spec); mark("plan")
import jinja2; mark("import jinja2")
from dpra import render, tree; mark("import dpra's renderer")
files = render.files(made); mark("compile and render the templates, read the pack")
changes = tree.compare(root, files); mark("compare")
tree.write(root, changes, files, data); mark(f"write {len(files)} files")
tree.ignored(root, files); mark("ask git what it ignores")
for (_, before), (name, after) in zip(marks, marks[1:]): print(name, after - before, sep="\\t")
"""


def phases(scratch: Path, rounds: int) -> dict[str, float]:
    """phase -> median seconds."""
    found: dict[str, list[float]] = {}
    for number in range(rounds):
        folder = _folder(scratch / f"phases-{number}")
        spec_alone(folder)
        command = [sys.executable, "-c", PHASES]
        done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=True)
        for line in done.stdout.splitlines():
            name, seconds = line.split("\t")
            found.setdefault(name, []).append(float(seconds))
    return {name: statistics.median(values) for name, values in found.items()}


FILES, FINDINGS = 50_000, 100_000
GATE = """
import json, sys
from collections import Counter
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import gate, policy
verdict = gate.sarif(Path("report.sarif"), 0, [0], "medium", Path("kept.sarif"))
judged = policy.judge(verdict, [], Counter())
with open("kept.findings.json", "w") as file:
    file.writelines(json.dumps(one) + "\\n" for one in policy.listed("sast", "tool", judged))
"""


def sources_with_findings(folder: Path) -> None:
    """50,000 source files, and a tool's report of two findings in each."""
    for number in range(FILES):
        path = folder / f"src/{number // 500}/module{number}.py"
        if not number % 500:
            path.parent.mkdir(parents=True)
        path.write_text(f"import os\n\n\ndef run(name):\n    os.system('{number} ' + name)\n", "utf-8")
    rules = [{"id": f"R{number}", "properties": {"security-severity": "8.0"}} for number in range(50)]
    with (folder / "report.sarif").open("w") as file:
        tool = json.dumps({"driver": {"name": "tool", "rules": rules}})
        file.write(f'{{"version": "2.1.0", "runs": [{{"tool": {tool}, "results": [')
        for number in range(FINDINGS):
            of = number % FILES
            region = {"startLine": 5, "endLine": 5, "snippet": {"text": f"    os.system('{of} ' + name)\n" * 5}}
            place = {"artifactLocation": {"uri": f"src/{of // 500}/module{of}.py"}, "region": region}
            said = {"ruleId": f"R{number % 50}", "message": {"text": "a command is made of text that a caller gives"}}
            said |= {"locations": [{"physicalLocation": place}], "partialFingerprints": {"line": f"{number:032x}"}}
            file.write(("," if number else "") + json.dumps(said))
        file.write("]}]}")


def gate(scratch: Path) -> dict[str, float]:
    """What the gate takes for that: seconds, peak MiB, and how large the report is."""
    folder = _folder(scratch / "gate")
    command = [sys.executable, "-B", "-c", GATE, str(ROOT / ".github/actions/_lib")]
    seconds, mebibytes = run(Contender("the gate", command, sources_with_findings), folder)
    listed = sum(1 for _ in (folder / "kept.findings.json").open())
    if listed != FINDINGS:
        sys.exit(f"the gate judged {listed} of {FINDINGS} findings")
    size = (folder / "report.sarif").stat().st_size / 2**20
    return {"seconds": seconds, "mebibytes": mebibytes, "report": size}


def growth(seconds: Callable[[int], float], sizes: list[int]) -> tuple[list[float], float, float]:
    """Seconds at each size, the slope of the line through them, and the largest deviation from it as a share."""
    seconds(sizes[0])  # warm
    times = [min(seconds(size) for _ in range(3)) for size in sizes]
    slope, intercept = statistics.linear_regression(sizes, times)
    deviation = max(abs(t - (intercept + slope * size)) / t for size, t in zip(sizes, times, strict=True))
    return times, slope, deviation


def specs_in_one_process(count: int) -> float:
    from dpra import catalogue, problems, render
    from dpra.spec import reader

    words = catalogue.words()
    start = time.perf_counter()
    for number in range(count):
        text = SPEC.replace("name: shop", f"name: shop{number}", 1)
        render.files(problems.planned(reader.read(text.encode(), words)))
    return time.perf_counter() - start


def regions_of_prod(count: int) -> float:
    from dpra import catalogue, problems, render
    from dpra.spec import models, reader

    words = catalogue.words()
    text = SPEC.replace("regions: [eu-west-1]", f"regions: [{', '.join(models.REGIONS[:count])}]", 1)
    assert count == 1 or models.REGIONS[count - 1] in text
    start = time.perf_counter()
    for _ in range(20):
        render.files(problems.planned(reader.read(text.encode(), words)))
    return (time.perf_counter() - start) / 20


FLAGS = """
import gc, importlib, sys, time
gc.disable()  # as the check's tool does
sys.path.insert(0, sys.argv[1])
build, parsers = (importlib.import_module(f"configuration_{name}") for name in ("build", "parsers"))
environments, lines = ("beta", "gamma", "prod", "eu", "us"), []
for number in range(int(sys.argv[2])):
    limit = "{type: number, maximum: 100}"
    lines.append(f"flag-{number}:\\n  owner: '@acme/team'\\n  attributes: {{limit: {limit}}}\\n  values:\\n")
    lines += [f"    {name}: {{enabled: true, limit: {number % 100}}}\\n" for name in environments]
files, start = {"flags.yml": "".join(lines).encode()}, time.perf_counter()
built = build.build(files, build.Settings(environments, template=""), parsers.events)
assert not built.problems and len(built.documents()) == 6
print(time.perf_counter() - start)
"""


def flags_in_five_environments(count: int) -> float:
    """Seconds in which so many flags are read, checked and compiled."""
    words = [sys.executable, "-c", FLAGS, str(ROOT / ".github/actions/_lib"), str(count)]
    return float(subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout)


ACCOUNTS = """
import gc, sys, time
gc.disable()  # as the check's tool does
sys.path.insert(0, sys.argv[1])
import configuration_parsers, fleet_files, fleet_plan, fleet_rules, fleet_seen
count, units, prod = int(sys.argv[2]), 200, 150
rows = [f"  Unit{one}: {{defaults: {{tags: {{unit: 'u{one}'}}, budget: {one + 1}}}}}" for one in range(units)]
files = {"organisation.yml": "\\n".join(["units:", *rows, ""]).encode()}
for one in range(units):
    names = [f"unit-{one}-{number}" for number in range(count // units + (one < count % units))]
    rows = [f"  {name}: {{email: aws+{name}@example.com, tags: {{team: t{one}}}}}" for name in names]
    if rows:
        files[f"accounts/{one}.yml"] = "\\n".join([f"unit: Unit{one}", "accounts:", *rows, ""]).encode()
for one in range(8):
    target = "root" if one < 3 else f"Unit{one}"
    files[f"policies/p{one}.yml"] = f"type: service-control-policy\\nattach: [{target}]\\n".encode()
    files[f"policies/p{one}.json"] = b'{"Statement": {"Effect": "Deny", "Action": "a:B", "Resource": "*"}}'
start = time.perf_counter()
parts = (*(f"Unit{one}" for one in range(0, units, 10)), "root")
fleet, problems = fleet_files.build(files, "landing-zone", configuration_parsers.events, parts)
wrong = [*problems, *fleet_rules.problems(fleet)]
assert not wrong, wrong[:3]
seen = fleet_seen.Seen("111111111111", "r-ab12", ("SERVICE_CONTROL_POLICY",))
assert len(fleet_plan.plan(fleet, seen).steps) > count
print(time.perf_counter() - start)
"""


def accounts_in_200_units(count: int) -> float:
    """Seconds in which so many accounts are read, checked and planned, none of them there yet."""
    words = [sys.executable, "-c", ACCOUNTS, str(ROOT / ".github/actions/_lib"), str(count)]
    return float(subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout)


def report(
    found: dict[str, list[tuple[float, float]]],
    parts: dict[str, float],
    grown: dict[str, Any],
    load: dict[str, float],
) -> str:
    median = {name: statistics.median(s for s, _ in runs) for name, runs in found.items()}
    memory = {name: statistics.median(m for _, m in runs) for name, runs in found.items()}
    ours = median["dpra generate, nothing there yet"]
    versions = {
        name: json.loads((HERE / "node_modules" / name / "package.json").read_text("utf-8"))["version"]
        for name in ("projen", "cdk-pipelines-github", "aws-cdk-lib")
    }
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    lines = [
        "# Benchmarks\n",
        "Written by `make bench`; do not edit. Whole processes, medians of "
        f"{len(next(iter(found.values())))} rounds by turns, on {date.today()}: {os.cpu_count()} cores, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, Node.js {node}, "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + ". All of them write to memory where there is /dev/shm: a disk adds what it is busy with.\n",
        "| | wall time | of dpra's (nothing there yet) | peak memory |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| {name} | {median[name] * 1000:,.0f} ms | {median[name] / ours:.2f} | {memory[name]:,.0f} MiB |"
            for name in found
        ),
        "",
        "The first on a machine compiles dpra's templates, the next ones take them from `~/.cache/dpra`. "
        "projen writes the same jobs and steps with GithubWorkflow, started by node itself: `npx projen` takes longer. "
        "cdk-pipelines-github synthesises beta, gamma and prod with one stack each and two test steps.\n",
        "| aim | measured | met |",
        "| --- | --- | --- |",
        *(
            f"| {what} (at most {aim:g}) | {measured:.3g} | {'yes' if measured <= aim else 'no'} |"
            for what, measured, aim in aims(found, grown)
        ),
        "",
        "## Where the time goes\n",
        "`dpra generate` in an empty repository, phase by phase (medians):\n",
        "| phase | ms |",
        "| --- | ---: |",
        f"| start Python | {median['bare Python'] * 1000:.0f} |",
        *(f"| {name} | {seconds * 1000:.1f} |" for name, seconds in parts.items()),
        "| find the command, print what was written, end the process | "
        f"{(ours - median['bare Python'] - sum(parts.values())) * 1000:.1f} |",
        f"| the whole process, as above | {ours * 1000:.0f} |",
        "",
        "## How it grows\n",
        "read, plan and render, nothing written; the deviation is the largest one from a straight line.\n",
        "| | sizes | seconds | each | deviation |",
        "| --- | --- | --- | ---: | ---: |",
    ]
    for name, (sizes, times, slope, deviation) in grown.items():
        seconds = ", ".join(f"{t:.3f}" for t in times)
        lines.append(f"| {name} | {', '.join(map(str, sizes))} | {seconds} | {slope * 1000:.2f} ms | {deviation:.0%} |")
    lines += [
        "",
        "## The gate under load\n",
        "One report judged once, against the files that it names: severities, waivers, fingerprints, the kept copy.\n",
        "| files | findings | report | seconds | peak memory |",
        "| ---: | ---: | ---: | ---: | ---: |",
        f"| {FILES:,} | {FINDINGS:,} | {load['report']:.0f} MiB | {load['seconds']:.1f} "
        f"| {load['mebibytes']:.0f} MiB |",
    ]
    return "\n".join(lines) + "\n"


def aims(found: dict[str, list[tuple[float, float]]], grown: dict[str, Any]) -> list[tuple[str, float, float]]:
    """What is aimed at, what was measured, and how much it may be."""
    median = {name: statistics.median(s for s, _ in runs) for name, runs in found.items()}
    ours, configuration = median["dpra generate, nothing there yet"], median["dpra generate, dynamic configuration"]
    image, machine = median["dpra generate, compute image"], median["dpra generate, machine image"]
    sizes, times, *_ = grown["specs in one process"]
    return [
        ("`dpra generate`, of projen's time", ours / median["projen"], 0.45),
        ("`dpra generate`, of cdk-pipelines-github's time", ours / median["cdk-pipelines-github"], 0.07),
        ("1,000 specs in one process, in seconds", dict(zip(sizes, times, strict=True))[1000], 8),
        ("dynamic configuration, of an application's time", configuration / ours, 1.05),
        ("compute image, of an application's time", image / ours, 1.05),
        ("machine image, of an application's time", machine / ours, 1.05),
        ("account fleet, of an application's time", median["dpra generate, account fleet"] / ours, 1.05),
        ("5,000 flags in five environments, in seconds", grown["flags in five environments"][1][-1], 3),
        ("5,000 accounts in 200 units, in seconds", grown["accounts in 200 units"][1][-1], 5),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="counted rounds (15)")
    parser.add_argument("--json", action="store_true", help="print the measurements; leave README.md alone")
    parser.add_argument("--no-growth", action="store_true", help="with --json: not how it grows")
    options = parser.parse_args()
    if not shutil.which("npm"):
        print("npm is not installed: the peers come from it", file=sys.stderr)
        sys.exit(3)
    print("installing the peers with npm ci", file=sys.stderr)
    done = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], cwd=HERE, check=False
    )
    if done.returncode:
        print("npm ci failed: the peers cannot be had", file=sys.stderr)
        sys.exit(3)
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # a disk that is busy takes 5 to 20 ms for 90 files
    with tempfile.TemporaryDirectory(prefix="dpra-bench-", dir=memory) as place:
        scratch = Path(place)
        found = measure(contenders(scratch), options.rounds, scratch)
        parts = phases(scratch, options.rounds)
        print("the gate under load", file=sys.stderr)
        load = gate(scratch)
    if options.json and options.no_growth:
        print(json.dumps({"runs": found, "phases": parts, "gate": load}))
        return
    print("growth", file=sys.stderr)
    of: dict[str, tuple[Callable[[int], float], list[int]]] = {
        "specs in one process": (specs_in_one_process, [10, 100, 1000]),
        "regions of prod": (regions_of_prod, [1, 5, 10, 15, 20]),
        "flags in five environments": (flags_in_five_environments, [1000, 2000, 3000, 4000, 5000]),
        "accounts in 200 units": (accounts_in_200_units, [1000, 2000, 3000, 4000, 5000]),
    }
    grown = {name: (sizes, *growth(seconds, sizes)) for name, (seconds, sizes) in of.items()}
    if options.json:
        print(json.dumps({"runs": found, "phases": parts, "growth": grown, "gate": load}))
        return
    text = report(found, parts, grown, load)
    (HERE / "README.md").write_text(text, "utf-8")
    print(text)
    if missed := [what for what, measured, aim in aims(found, grown) if measured > aim]:
        print(f"missed: {'; '.join(missed)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
