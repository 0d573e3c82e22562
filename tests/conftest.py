"""What the tests share: repositories with a spec, and the command as a user runs it."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import traceback
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest
from click.testing import CliRunner
from hypothesis import settings

# The tools of this environment, whether or not it is activated.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
# The wheel of opengrep puts none there.
_command, _binary = (
    Path(sys.executable).with_name("opengrep"),
    Path(sysconfig.get_path("purelib"), "tackbox_opengrep/bin"),
)
if not _command.exists() and _binary.exists():
    (_binary / "opengrep").chmod(0o755)
    with suppress(FileExistsError):
        _command.symlink_to(_binary / "opengrep")

# A shell that starts something in the background has it ignore Ctrl-C, and so all that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

sys.path.append(str(Path(__file__).parent / "pack"))  # archives, gates and rights: what several tests share

collect_ignore = ["benchmarks", "languages", "languageservice", "toolkit"]  # the samples have tests of their own

settings.register_profile("default", max_examples=200)
settings.register_profile("thorough", max_examples=10_000)  # make thorough
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session", autouse=True)
def _advisories(tmp_path_factory: pytest.TempPathFactory) -> None:
    """trivy's databases cannot be fetched here: dpra's few advisories take their place, as in a rehearsal offline."""
    from dpra.rehearsal import advisories

    os.environ |= advisories.write(tmp_path_factory.mktemp("trivy") / "cache")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that no worker is left alone with one of them at the end."""
    items.sort(key=lambda item: (item.path.name != "test_scenarios.py", item.get_closest_marker("slow") is None))


SPECS = Path(__file__).parent / "specs"

Run = Callable[..., subprocess.CompletedProcess[str]]


def _dpra(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`dpra …` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "dpra", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def _in_process(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`dpra …` in this process; a crash is told as Python tells it."""
    from dpra.cli import main

    words = [*map(str, arguments)]
    with contextlib.chdir(cwd):
        done = CliRunner().invoke(main, words, prog_name="dpra")
    crash = done.exception if not isinstance(done.exception, SystemExit) else None
    stderr = done.stderr + "".join(traceback.format_exception(crash) if crash else ())
    return subprocess.CompletedProcess(words, done.exit_code, done.stdout, stderr)


# What these do is start processes, or be told by signals.
PROCESSES = {"baseline", "cleanse", "new", "rehearse"}


@pytest.fixture(scope="session")
def process() -> Run:
    """`dpra …` as a user starts it, for tests of the command itself."""
    return _dpra


@pytest.fixture(scope="session")
def dpra() -> Run:
    """`dpra …` where what it makes is tested: Python is started anew only for an environment of its own."""

    def dpra(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        if environment or PROCESSES & {*map(str, arguments)}:
            return _dpra(*arguments, cwd=cwd, **environment)
        return _in_process(*arguments, cwd=cwd)

    return dpra


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """A folder that one worker fills for all of them; to be read only."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "once"

    def once(name: str, fill: Callable[[Path], object]) -> Path:
        return filled(shared / name, fill)

    return once


def filled(folder: Path, fill: Callable[[Path], object]) -> Path:
    """The folder, filled by whoever comes first; one that was left half filled is filled anew."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    complete = folder.with_name(f"{folder.name}.complete")
    with open(folder.with_name(f"{folder.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            fill(folder)
            complete.touch()
    return folder


# What a sample in tests/languages, or a language, needs on the machine.
MAVEN = Path("/etc/maven/settings-debian.xml")  # Maven without a network: from Debian's own repository
TOOLS: dict[str, tuple[str | Path, ...]] = {
    "": ("git",),
    "c": ("cmake", "gcc"),
    "container": ("buildah", "busybox"),
    "gradle": ("gradle", "javac"),
    "java": ("mvn", "javac", MAVEN),
    "maven": ("mvn", "javac", MAVEN),
    "node": ("node", "npm"),
    "pnpm": ("node", "npm"),
    "yarn": ("node", "npm"),
}
# A program, or a part of a path -> the Debian package that brings it, where that has another name.
PACKAGES = {
    "busybox": "busybox-static",
    "chromedriver": "chromium-driver",
    "gson": "libgoogle-gson-java",
    "javac": "default-jdk-headless",
    "junit-jupiter": "junit5",
    "libfaketime.so.1": "faketime",
    "maven-dependency-plugin": "libmaven-dependency-plugin-java",
    "maven-repo": "maven-debian-helper",
    "maven-surefire-plugin": "libsurefire-java",
    "settings-debian.xml": "maven-debian-helper",
    "mvn": "maven-debian-helper",
    "node": "nodejs",
}
# Neither PyPI nor npm nor Debian has them: their tests are skipped in CI, too.
ELSEWHERE = {"terraform": "see https://developer.hashicorp.com/terraform/install"}


def missing(*wanted: str | Path) -> str:
    """What is not there of programs, languages and files, and the command that brings it."""
    names = [name for one in wanted for name in (TOOLS.get(one, (one,)) if isinstance(one, str) else (one,))]
    gone = [one for one in names if not (one.exists() if isinstance(one, Path) else shutil.which(one))]
    ways = [ELSEWHERE[str(one)] for one in gone if one in ELSEWHERE]
    if packages := dict.fromkeys(package_of(one) for one in gone if one not in ELSEWHERE):
        ways.append(f"apt-get install {' '.join(packages)}, or .ci/run installs all of .ci/packages")
    return f"not there: {', '.join(map(str, gone))}; {'; '.join(ways)}" if gone else ""


def package_of(one: str | Path) -> str:
    parts = one.parts[::-1] if isinstance(one, Path) else (one,)
    return next((PACKAGES[part] for part in parts if part in PACKAGES), parts[0])


def not_there(message: str) -> NoReturn:
    """In CI nothing is skipped but what cannot be had there either."""
    raise (pytest.fail if os.environ.get("CI") else pytest.skip).Exception(message)


def require(*wanted: str | Path) -> None:
    """Skips a test that lacks a program, a language's toolchain or a file, by name; in CI it fails instead."""
    if said := missing(*wanted):
        (pytest.skip if all(one in ELSEWHERE for one in wanted) else not_there)(said)


@pytest.fixture(scope="session")
def needs() -> Callable[..., None]:
    """As the mark `needs`, for what only the test or a fixture knows."""
    return require


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        require(*mark.args)


def bundled(folder: str, program: str) -> Path:
    """A program of tests/, one file with what its package-lock.json admits; made once a machine."""
    require("npm")
    source = Path(__file__).parent / folder
    content = b"".join((source / name).read_bytes() for name in (program, "package.json", "package-lock.json"))
    cache = Path.home() / ".cache/dpra" / folder

    def bundle(to: Path) -> None:
        shutil.copytree(source, to, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
        fetch = ["npm", "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", "--silent"]
        if subprocess.run(fetch, cwd=to, check=False).returncode:
            not_there(f"not there: {folder}; cd tests/{folder} && {' '.join(fetch)}")
        # Some of it is written for require().
        require = "import { createRequire as bundled } from 'node:module'; const require = bundled(import.meta.url);"
        options = ["--bundle", "--platform=node", "--format=esm", f"--banner:js={require}", "--log-level=warning"]
        command = ["node_modules/.bin/esbuild", program, *options, f"--outfile={program}", "--allow-overwrite"]
        subprocess.run(command, cwd=to, check=True)
        shutil.rmtree(to / "node_modules")

    return filled(cache / hashlib.sha256(content).hexdigest()[:12], bundle) / program


@pytest.fixture(scope="session")
def language_service() -> Callable[..., list[dict[str, Any]]]:
    """What GitHub's language service, the one of its editors, says of workflows and actions."""
    program = bundled("languageservice", "lint.mjs")

    def language_service(*paths: Path) -> list[dict[str, Any]]:
        done = subprocess.run(["node", program, *paths], capture_output=True, text=True, check=False)
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert (done.returncode, done.stderr) == (1 if found else 0, "")
        return found

    return language_service


@pytest.fixture(scope="session")
def toolkit() -> Path:
    """GitHub's clients of artifacts and caches, as a program for node."""
    return bundled("toolkit", "client.mjs")


@pytest.fixture(scope="session")
def generated_once(once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A git repository with the minimal spec, generated; to be copied."""

    def fill(root: Path) -> None:
        subprocess.run(["git", "init", "--quiet", "--initial-branch", "main"], cwd=root, check=True)
        (root / "dpra.yml").write_bytes((SPECS / "minimal.yml").read_bytes())
        done = _in_process("generate", cwd=root)
        assert done.returncode == 0, done.stderr

    return once("shop", fill)


@pytest.fixture
def repository(generated_once: Path, tmp_path: Path) -> Path:
    """A git repository with the minimal spec, generated."""
    return Path(shutil.copytree(generated_once, tmp_path / "shop"))


@pytest.fixture(scope="session")
def new_repository(once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """What `dpra new` makes; tests copy it before they change it."""

    def fill(folder: Path) -> None:
        done = _dpra("new", "--no-input", "-o", folder, "name=shop", cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr

    return once("new", fill) / "shop"


@pytest.fixture
def copy(new_repository: Path, tmp_path: Path) -> Path:
    """What `dpra new` makes, to be changed."""
    return Path(shutil.copytree(new_repository, tmp_path / "shop"))


@pytest.fixture(scope="session")
def unscanned() -> Callable[[Path], None]:
    """Takes the scanners out of a pipeline, for tests of what comes after them."""

    def unscanned(root: Path) -> None:
        path = root / ".github/workflows/pipeline.yml"
        text = path.read_text()
        begin = text.index("      - id: secrets-detection\n")
        path.write_text(text[:begin] + text[text.index("      - name: Keep the evidence\n", begin) :])

    return unscanned


@pytest.fixture
def compute_image() -> dict[str, set[str]]:
    """DPRA's list of the type: docs/compute-image-pipeline/index.md of AWS's repository, which gives no marks."""
    return {
        "local": {"pre-commit-hooks", "ide-plugins"},
        "source": {"test-source", "infrastructure-source", "configuration"},
        "build": {"policy-as-code", "secrets-detection", "vulnerability-assessment", "iac-unit-tests"},
        "test": {"build-environment", "integration-tests", "approval"},
        "prod": {"service-catalog-product", "package-and-store"},
    }


@pytest.fixture(scope="session")
def aws_commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of an AWS CLI that is started once: each of its calls has the environment of who calls."""
    from dpra.rehearsal import aws_cli

    folder = tmp_path_factory.mktemp("aws")
    with aws_cli.started(folder):
        yield folder


@pytest.fixture(scope="session")
def moto(aws_commands: Path) -> Iterator[dict[str, str]]:
    """moto, mended as in a rehearsal, and the AWS CLI."""
    from dpra.rehearsal import mends
    from moto.server import ThreadedMotoServer

    mends.mend()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield {
        "PATH": f"{aws_commands}{os.pathsep}{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_ACCESS_KEY_ID": "somebody",  # a profile that is asked for comes first
        "AWS_SECRET_ACCESS_KEY": "else",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "GITHUB_API_URL": "http://127.0.0.1:9",  # out of reach
    }
    server.stop()


@pytest.fixture
def administrators(moto: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of somebody with a profile, admin-ENVIRONMENT, for each account; all are empty."""
    from dpra.rehearsal import mends
    from moto.iam.models import iam_backends

    mends.forget()
    lines = []
    for name, account in {"build": "4" * 12, "beta": "1" * 12, "gamma": "2" * 12, "prod": "033333333333"}.items():
        iam = iam_backends[account]["aws"]
        iam.create_user("us-east-1", "admin")
        key = iam.create_access_key("admin")
        lines += [f"[admin-{name}]", f"aws_access_key_id = {key.access_key_id}"]
        lines += [f"aws_secret_access_key = {key.secret_access_key}"]
    (tmp_path / "credentials").write_text("\n".join(lines) + "\n")
    return {**moto, "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}


GIT = ("git", "-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always")


def _git(*arguments: str | Path, cwd: Path) -> str:
    return subprocess.run([*GIT, *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="session")
def git() -> Callable[..., str]:
    """`git …` as somebody; what it printed."""
    return _git


def _own_check(repository: Path) -> subprocess.CompletedProcess[str]:
    script = repository / ".github/actions/dpra/_lib/check.py"
    return subprocess.run(
        [sys.executable, "-I", "-B", script], cwd=repository, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="session")
def own_check() -> Callable[[Path], subprocess.CompletedProcess[str]]:
    """The pull request's check: standard library only."""
    return _own_check


def files_of(root: Path) -> dict[str, bytes]:
    """Every file below `root` but git's own, for before and after."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(root).parts
    }


@pytest.fixture(scope="session")
def snapshot() -> Callable[[Path], dict[str, bytes]]:
    return files_of


class Browser:
    """Chromium without a window, led by chromedriver over the WebDriver protocol."""

    # It talks to nobody by itself: what these leave is the page's own.
    FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    FLAGS += " --disable-component-update --disable-sync --window-size=1280,900"

    def __init__(self, profile: Path) -> None:
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
        said = next((line for line in self.driver.stdout or () if "successfully on port" in line), "")
        assert said, "chromedriver did not start"
        port = said.rstrip(". \n").rpartition(" ")[2]
        self.url = f"http://127.0.0.1:{port}"
        options = {"args": [*self.FLAGS.split(), f"--user-data-dir={profile}"], "binary": shutil.which("chromium")}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"performance": "ALL"}}}
        session = self.ask("/session", {"capabilities": wanted})
        self.url += f"/session/{session['sessionId']}"

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(self.url + path, json.dumps(body).encode())  # noqa: S310 - ours
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, path: Path, fragment: str = "") -> None:
        self.ask("/url", {"url": path.resolve().as_uri() + fragment})

    def script(self, text: str) -> Any:
        """What a script in the page returns."""
        return self.ask("/execute/sync", {"script": text, "args": []})

    def text(self) -> str:
        """What a reader sees."""
        return str(self.script("return document.body.innerText"))

    def fetched(self) -> list[str]:
        """Every address that was asked for since the last time."""
        events = [json.loads(one["message"])["message"] for one in self.ask("/se/log", {"type": "performance"})]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [one["request"]["url"] for one in sent]

    def end(self) -> None:
        with suppress(OSError):
            urllib.request.urlopen(urllib.request.Request(self.url, method="DELETE"), timeout=30)  # noqa: S310
        self.driver.terminate()
        self.driver.wait()


@pytest.fixture(scope="session")
def browser(needs: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    needs("chromium")
    needs("chromedriver")
    found = Browser(tmp_path_factory.mktemp("chromium"))
    yield found
    found.end()


@pytest.fixture(scope="session")
def page_text(browser: Browser) -> Callable[[Path], str]:
    """The text of a page as a reader sees it in Chromium, with everything unfolded."""

    def page_text(path: Path) -> str:
        browser.open(path)
        browser.script("document.querySelectorAll('details').forEach(one => one.open = true)")
        return browser.text()

    return page_text


RIGHTS = '''"""What these tests may do in AWS: {what}."""

import os
import subprocess


def aws(*words):
    words = ["aws", *words, "--region", os.environ["AWS_REGION"]]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr

{tests}'''
NOTHING = """
def test_there_are_no_credentials_and_none_can_be_had():
    known = {"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"}
    known |= {"AWS_EC2_METADATA_DISABLED", "AWS_MAX_ATTEMPTS", "AWS_PAGER"}  # where AWS is, in a rehearsal; no secret
    assert not {name for name in os.environ if name.startswith("AWS_")} - known
    assert not [name for name in os.environ if name.startswith("ACTIONS_ID_TOKEN_")]
    code, said = aws("sts", "get-caller-identity")
    assert code
    assert "credentials" in said.lower()
"""
READS = """
NAME = ["--function-name", "shop-api"]


def test_it_reads_what_was_deployed():
    assert aws("lambda", "get-function-configuration", *NAME)[0] == 0
    assert aws("cloudformation", "describe-stacks", "--stack-name", "shop")[0] == 0
    assert "dpra-shop-beta-tests" in aws("sts", "get-caller-identity")[1]


def test_it_is_refused_what_changes_and_what_is_secret():
    for words in (
        ["lambda", "update-function-configuration", *NAME, "--timeout", "1"],
        ["cloudformation", "delete-stack", "--stack-name", "shop"],
        ["lambda", "get-function-configuration", "--function-name", "other"],
        ["ssm", "get-parameter", "--name", "shop"],
        ["s3api", "list-buckets"],
    ):
        code, said = aws(*words)
        assert code, words
        assert "AccessDenied" in said, said
"""


@pytest.fixture(scope="session")
def tests_of_rights() -> Any:
    """Puts tests beside the sample's own that see what their job may do: reads, or nothing."""

    def put(root: Path, stage: str, what: str) -> None:
        text = RIGHTS.format(what=what, tests={"reads": READS, "nothing": NOTHING}[what])
        (root / f"tests/{stage}/test_rights.py").write_text(text)

    return put
