"""Runs the pack's composite actions as the runner does, and reads what they said as the runner does."""

import json
import os
import re
import shutil
import subprocess
import sys
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import pytest
from ruamel.yaml import YAML

PACK = Path(__file__).parents[2] / ".github" / "actions"
COMMIT = "c0ffee" + "0" * 34

# What package managers need of this machine to reach their indexes.
NETWORK = ("NODE_EXTRA_CA", "NPM_CONFIG", "PIP_", "REQUESTS_CA", "SSL_CERT", "TRIVY_")

sys.dont_write_bytecode = True  # the pack is copied into users' repositories as it lies there
sys.path.insert(0, str(PACK / "_lib"))


@dataclass
class Ran:
    """What became of one use of an action."""

    code: int
    out: str  # standard output and standard error, as in the log
    outputs: dict[str, str]
    summary: str
    records: list[dict[str, Any]]
    steps: list[str] = field(default_factory=list)  # the ids of the steps that ran, `uses:` in words

    @property
    def record(self) -> dict[str, Any]:
        [record] = self.records
        return record

    @property
    def commands(self) -> list[tuple[str, str, str]]:
        """Name, properties and data of each log command, as the runner finds them."""
        found = []
        stopped = ""
        for line in re.split(r"\r\n|\r|\n", self.out):
            line = line.strip()
            if stopped:
                stopped = "" if line == f"::{stopped}::" else stopped
            elif match := re.match(r"::([^ :]+)(?: ([^:]*))?::(.*)", line):
                found.append((match[1], match[2] or "", match[3]))
                stopped = match[3] if match[1] == "stop-commands" else ""
            elif match := re.search(r"##\[([^\] ]+) ?([^\]]*)\](.*)", line):
                found.append((match[1], match[2], match[3]))
        return [command for command in found if command[0] != "stop-commands"]

    @property
    def errors(self) -> list[str]:
        return [f"{properties}::{data}" for name, properties, data in self.commands if name == "error"]


def expanded(value: str, inputs: dict[str, str], outputs: dict[str, dict[str, str]]) -> str:
    """The few expressions that action.yml files contain; any other is an error."""

    def one(match: re.Match[str]) -> str:
        words = match[1].split(".")
        if words[0] == "inputs":
            return inputs[words[1]]
        if words[0] == "steps" and words[2] == "outputs":
            return outputs.get(words[1], {}).get(words[3], "")
        return {"github.run_id": "7", "github.repository": "acme/shop", "github.token": "ghs_token"}[match[1]]

    return re.sub(r"\$\{\{ *(\S+) *\}\}", one, value)


class Runner:
    """A job: a workspace, a temporary directory, and the environment that the runner gives."""

    def __init__(self, root: Path, *folders: Path) -> None:
        """`folders` come first in PATH, but for the job's own."""
        self.root, self.workspace, self.temp = root, root / "workspace", root / "temp"
        self.evidence = self.temp / "dpra"
        for directory in (self.workspace, self.temp, root / "home", root / "bin"):
            directory.mkdir()
        self.pack = PACK
        self.env = {name: value for name, value in os.environ.items() if name.startswith(NETWORK)} | {
            "PATH": os.pathsep.join(
                (*map(str, (root / "bin", *folders, Path(sys.executable).parent)), "/usr/local/bin", "/usr/bin", "/bin")
            ),
            "HOME": str(root / "home"),
            "LANG": "C.UTF-8",
            "RUNNER_TEMP": str(self.temp),
            "DPRA_TOOLS": str(Path.home() / ".cache"),
            "GOCACHE": str(Path.home() / ".cache" / "go-build"),  # else each test compiles Go's own library anew
            "GITHUB_ACTIONS": "true",
            "GITHUB_JOB": "job",
            "GITHUB_REPOSITORY": "acme/shop",
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_RUN_ID": "7",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_SHA": COMMIT,
        }

    def write(self, name: str, text: str) -> Path:
        path = self.workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def git(self, *arguments: str, directory: Path | None = None) -> str:
        who = ("-c", "user.name=Tester", "-c", "user.email=tester@example.com", "-c", "init.defaultBranch=main")
        ran = subprocess.run(
            ["git", *who, *arguments],
            cwd=directory or self.workspace,
            env=self.env,
            check=True,
            capture_output=True,
            text=True,
        )
        return ran.stdout.strip()

    def own_pack(self) -> Path:
        """A copy of the pack to which a test may add tools."""
        self.pack = self.root / "pack"
        shutil.copytree(PACK, self.pack)
        return self.pack

    def use(self, action: str, /, **inputs: str) -> Ran:
        """`uses: ./.github/actions/<action>` with these inputs (underscores for hyphens)."""
        definition = YAML(typ="safe").load(self.pack / action / "action.yml")
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        assert set(given) <= set(definition.get("inputs", {})), "an input that the action does not have"
        for name, declared in definition.get("inputs", {}).items():
            if name not in given:
                assert "default" in declared, f"the input {name} is required"
                given[name] = expanded(declared["default"], {}, {})
        before = len(self.records())
        ran = Ran(0, "", {}, "", [])
        outputs: dict[str, dict[str, str]] = {}
        for step in definition["runs"]["steps"]:
            if ran.code or ("if" in step and not self.condition(step["if"], given)):
                continue
            if "uses" in step:
                ran.steps.append(json.dumps({key: expanded(value, given, {}) for key, value in step["with"].items()}))
                continue
            ran.steps.append(step.get("id", ""))
            outputs[step.get("id", "")] = self.run(action, step, given, outputs, ran)
        declared_outputs = definition.get("outputs") or {}
        ran.outputs = {name: expanded(output["value"], given, outputs) for name, output in declared_outputs.items()}
        ran.records = self.records()[before:]
        return ran

    def condition(self, text: str, inputs: dict[str, str]) -> bool:
        match = re.fullmatch(r"inputs\.([\w-]+) != ''", text)
        assert match, f"a condition that these tests do not know: {text}"
        return inputs[match[1]] != ""

    def run(
        self, action: str, step: dict[str, Any], inputs: dict[str, str], others: dict[str, dict[str, str]], ran: Ran
    ) -> dict[str, str]:
        files = {name: self.root / f"{name}.txt" for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_ENV")}
        for path in files.values():
            path.write_bytes(b"")
        script = self.root / "step.sh"
        script.write_text(step["run"], encoding="utf-8")
        assert step["shell"] == "bash"
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self.workspace,
            env={
                **self.env,
                **{name: str(path) for name, path in files.items()},
                "GITHUB_ACTION_PATH": str(self.pack / action),
                **{name: expanded(value, inputs, others) for name, value in step.get("env", {}).items()},
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        ran.code = done.returncode
        ran.out += done.stdout.decode()
        ran.summary += files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")
        return dict(step_outputs(files["GITHUB_OUTPUT"].read_text(encoding="utf-8")))

    def records(self) -> list[dict[str, Any]]:
        path = self.evidence / "evidence.jsonl"
        return [json.loads(line) for line in path.read_text().split("\n") if line] if path.exists() else []

    def everything_written(self) -> bytes:
        """All that a job keeps or could upload."""
        return b"".join(path.read_bytes() for path in sorted(self.temp.rglob("*")) if path.is_file())


def step_outputs(text: str) -> Iterator[tuple[str, str]]:
    """GITHUB_OUTPUT as the runner reads it: `name=value`, or `name<<END`, lines, `END`."""
    lines = iter(text.split("\n"))
    for line in lines:
        if match := re.match(r"([^=]+?)<<(.+)", line):
            value = []
            for inner in lines:
                if inner == match[2]:
                    break
                value.append(inner)
            yield match[1], "\n".join(value)
        elif "=" in line:
            yield line.split("=", 1)[0], line.split("=", 1)[1]


@pytest.fixture
def job(tmp_path: Path, aws_commands: Path) -> Runner:
    return Runner(tmp_path, aws_commands)


HURRIED = """#!/bin/sh
case "$1 $2 $3" in "-I -B "*.py) shift 2 ;; *) exec {python} "$@" ;; esac
exec {python} -I -B -c 'import runpy, sys, time
time.sleep = lambda seconds: None
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")' "$@"
"""


@pytest.fixture
def acting(aws_commands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make a role of a rehearsal's AWS the one of this process, as a job has it."""

    def acting(cloud: Any, role: str, *folders: Path, **more: str) -> None:
        session = cloud.give(role, "test", 12 * 3600)
        cloud.roles[session.access_key_id] = role
        for name, value in {
            "AWS_ACCESS_KEY_ID": session.access_key_id,
            "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
            "AWS_SESSION_TOKEN": session.session_token,
            "AWS_ENDPOINT_URL": cloud.url,
            "RUNNER_TEMP": str(tmp_path),
            "PATH": os.pathsep.join([*map(str, folders), str(aws_commands), os.environ["PATH"]]),
            **more,
        }.items():
            monkeypatch.setenv(name, value)

    return acting


@pytest.fixture
def hurried(job: Runner) -> Runner:
    """A job whose scripts do not wait between tries. They are isolated: what starts them must be hurried."""
    python = job.root / "bin/python3"
    python.write_text(HURRIED.format(python=sys.executable))
    python.chmod(0o755)
    return job


@dataclass
class Web:
    """A web server on 127.0.0.1; it keeps requests and gives its answers in order, the last one again and again."""

    url: str
    answers: list[tuple[int, dict[str, str], bytes]]
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)  # method, path, body
    get: tuple[int, dict[str, str], bytes] | None = None  # what every GET gets, if not the next answer


@pytest.fixture
def web() -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            if self.command == "GET" and served.get:
                code, headers, content = served.get
                self.send_response(code)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            served.requests.append((self.command, self.path, body))
            code, headers, content = served.answers.pop(0) if len(served.answers) > 1 else served.answers[0]
            self.send_response(code)
            for name, value in ({"Content-Length": str(len(content))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):  # any other method
                return lambda: self.send_error(405)
            raise AttributeError(name)

        do_GET = do_PATCH = do_POST = answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Web(f"http://127.0.0.1:{server.server_port}", [(200, {}, b"")])
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


SHIM = """#!/usr/bin/python3 -ISB
import json, os, sys
folder = os.path.dirname(__file__)
words = sys.argv[1:]
with open(f"{folder}/calls.jsonl", "a") as calls:
    calls.write(json.dumps(words) + "\\n")
with open(f"{folder}/answers.json", "r+") as file:
    answers = json.load(file)
    queue = answers[" ".join(words[:2])]
    answer = queue.pop(0) if len(queue) > 1 else queue[0]
    file.seek(0)
    file.truncate()
    json.dump(answers, file)
if isinstance(answer, str):
    sys.exit(f"\\nAn error occurred ({answer.split(':')[0]}) when calling the X operation: {answer.split(': ')[1]}")
print(json.dumps(answer))
"""


class Aws:
    """An `aws` first in PATH that answers from a list (a string is an error, `Code: message`) and keeps the calls.

    Where moto has nothing. So that neither side is invented, parameters and answers are both held against botocore's
    model of the service."""

    def __init__(self, job: Runner) -> None:
        self.job, folder = job, job.root / "bin"
        self.folder = folder
        self.answers: dict[str, list[Any]] = {"sts get-caller-identity": [{"Account": "123456789012"}]}
        (folder / "aws").write_text(SHIM)
        (folder / "aws").chmod(0o755)

    def will(self, call: str, *answers: Any) -> None:
        self.answers[call] = list(answers)
        (self.folder / "answers.json").write_text(json.dumps(self.answers))
        for answer in answers:
            if not isinstance(answer, str):
                check_shape(call, "output_shape", answer)

    def calls(self, name: str = "") -> list[tuple[str, dict[str, Any]]]:
        """Service and operation, and the parameters, of each call so far."""
        path = self.folder / "calls.jsonl"
        made = []
        for line in path.read_text().splitlines() if path.exists() else []:
            words = json.loads(line)
            call, parameters = " ".join(words[:2]), parameters_of(words[2:])
            if "--body" in words:
                assert (self.job.workspace / parameters["Body"]).is_file()
            check_shape(call, "input_shape", parameters)
            made.append((call, parameters))
        return [one for one in made if name in ("", one[0])]


def parameters_of(options: list[str]) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    rest = iter(options)
    for option in rest:
        if option == "--cli-input-json":
            parameters |= json.loads(next(rest))
        elif option == "--body":
            parameters["Body"] = next(rest)
        elif option in ("--region", "--output"):
            assert next(rest) in ("eu-west-1", "json")
        else:
            assert option == "--no-paginate"
    return parameters


def check_shape(call: str, side: str, value: dict[str, Any]) -> None:
    import botocore.session
    from botocore import xform_name
    from botocore.validate import ParamValidator

    service, operation = call.split()
    model = _models.get(service)
    if not model:
        name = "s3" if service == "s3api" else service
        model = _models[service] = botocore.session.get_session().get_service_model(name)
    names = {xform_name(name, "-"): name for name in model.operation_names}
    shape = getattr(model.operation_model(names[operation]), side)
    problems = ParamValidator().validate(value, shape) if shape else None
    assert not (problems and problems.has_errors()), problems.generate_report()
    assert set(value) <= set(shape.members if shape else ())


_models: dict[str, Any] = {}


@pytest.fixture
def aws(job: Runner) -> Aws:
    return Aws(job)


HOSTILE = {
    "commands": "::set-output name=digest::forged\n::error::forged\r\n  ::warning file=a::forged\r::error::forged"
    "\x85::error::forged\u2028::error::forged\u2029::error::forged\x0b::error::forged\x0c::error::forged",
    "old commands": "##[error]forged ##[set-output name=digest]forged",
    "files": "EOF\ndigest<<EOF\nforged\nEOF\ndigest=forged\n%0A::error::forged%0D%25 , : ;",
    "shell": 'it\'s "quoted" \\ `touch pwned` $(touch pwned) ${HOME}; touch pwned # && touch pwned ${{ github.token }}',
    "markdown": "a | b \\| c\n| --- | --- |\n``` <img src=x onerror=alert(1)> </td> [x](https://evil.example) @all",
    "bidi": "a\u202eb\u200bc\u2066d",
    "long": "long " * 2_048,
    "path": "../../etc/passwd",
    "option": "--version",
    "file": "file:///etc/passwd",
}


@pytest.fixture
def hostile() -> dict[str, str]:
    return HOSTILE


def only_data(job: Runner, ran: Ran) -> None:
    """Nothing that was given to the action became an instruction to the runner, the shell or the summary."""
    assert "Traceback" not in ran.out
    assert {name for name, _, _ in ran.commands} <= {"error", "warning"}
    assert not any(data.startswith("forged") for _, _, data in ran.commands)
    assert all(len(line) < 2_500 for line in ran.out.splitlines())
    assert not list(job.root.rglob("pwned"))
    assert "forged" not in ran.outputs.values()
    for table in re.findall(r"(?:^\|.*\n)+", ran.summary, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1
    for line in ran.summary.split("\n"):
        outside = "".join(line.split("`")[::2])  # what is not in a code span
        assert line.count("`") % 2 == 0
        assert not re.search(r"[<>\[\]@]|https?:", outside)
        assert line == "" or line.startswith(("#", "| "))
    for text in (ran.out, ran.summary):  # no control characters, no bidi, no line separators of Unicode
        assert {unicodedata.category(c) for c in text.replace("\n", "")}.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})
    for _, properties, data in ran.commands:  # the runner takes these apart and then undoes the escapes
        assert {pair.split("=")[0] for pair in properties.split(",") if pair} <= {"file", "line", "col", "title"}
        assert not re.search("%(?!25|3A|2C)", properties + data)


@pytest.fixture
def inert() -> Callable[[Runner, Ran], None]:
    return only_data


# ---- Deploy tools


ACCOUNT, REGION = "123456789012", "eu-west-1"
ONE, TWO = "1" * 40, "2" * 40  # commits


@pytest.fixture(scope="session")
def server(moto: dict[str, str]) -> dict[str, str]:
    """moto, mended, and the AWS CLI in a process of its own: what a program needs in its environment to use them."""
    cli = moto["PATH"].partition(os.pathsep)[0]
    return {
        **{name: value for name, value in moto.items() if name != "GITHUB_API_URL"},
        "PATH": f"{cli}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }


class Bench:
    """A deploy tool, called as the actions call it."""

    def __init__(self, job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.job, self.monkeypatch = job, monkeypatch
        self.happened: list[str] = []
        for name, value in {**job.env, "GITHUB_STEP_SUMMARY": str(job.root / "summary.md")}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("time.sleep", lambda seconds: self.happened.append(f"slept {seconds}"))
        self.given(component="shop", environment="gamma", account=ACCOUNT)

    def given(self, **inputs: str) -> None:
        for name, value in inputs.items():
            self.monkeypatch.setenv(f"INPUT_{name.upper()}", value)

    def use(self, tool: str, stack: str = "", **settings: Any) -> None:
        self.given(tool=tool, stack=stack, settings=json.dumps(settings))

    @property
    def target(self) -> Any:
        import deployment

        return deployment.target(REGION, "packages")

    @property
    def tool(self) -> Any:
        import deployment

        return deployment.tool()

    def release(self, commit: str, files: dict[str, str], template: str = "", image: str = "") -> str:
        """A release of these files; its digest."""
        import release

        folder = self.job.workspace / "making"
        folder.mkdir()
        with zipfile.ZipFile(folder / "package.zip", "w") as package:
            for name, content in files.items():
                entry = zipfile.ZipInfo(name)
                entry.external_attr = 0o755 << 16
                package.writestr(entry, content)
        if template:
            (folder / "template.yml").write_text(template)
        self.monkeypatch.setenv("GITHUB_SHA", commit)
        digest = str(release.describe(folder, "shop"))
        if image:
            (folder / "image.json").write_text(json.dumps({"uri": image}))
        folder.rename(self.job.workspace / digest)
        return digest

    def deploy(self, digest: str, commit: str = ONE, before: Callable[[], None] | None = None, **change: Any) -> Any:
        import deployment

        def happened() -> None:
            self.happened.append("before")
            if before:
                before()

        about = {"digest": digest, "commit": commit, "stored": False} | change
        return self.tool.deploy(
            self.target, deployment.Change(release=self.job.workspace / digest, before=happened, **about)
        )

    def back(self, digest: str, commit: str = ONE) -> None:
        """As a rollback does it."""
        self.tool.settled(self.target)
        self.deploy(digest, commit, stored=True, at_once=True, back=True)

    @property
    def running(self) -> str:
        return str(self.tool.running(self.target))

    def says(self, capsys: pytest.CaptureFixture[str]) -> str:
        return capsys.readouterr().out


@pytest.fixture
def bench(job: Any, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(job, monkeypatch)


@pytest.fixture
def cloud(bench: Bench, server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Clients of an AWS with nothing but a bucket for packages; requests of the tool that change something are kept."""
    from dpra.rehearsal import mends

    mends.forget()
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    s3 = client("s3")
    s3.create_bucket(Bucket="packages", CreateBucketConfiguration={"LocationConstraint": REGION})
    return client


def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION)


def stop() -> None:
    import runner

    raise runner.Failed("the record cannot be written")


def failed(says: str) -> Any:
    import runner

    return pytest.raises(runner.Failed, match=says)
