"""What the tests share: repositories with a spec, and the command as a user runs it."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
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

collect_ignore = ["benchmarks", "languages"]  # the samples have tests of their own

settings.register_profile("default", max_examples=200)
settings.register_profile("thorough", max_examples=10_000)  # make thorough
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session", autouse=True)
def _advisories(tmp_path_factory: pytest.TempPathFactory) -> None:
    """trivy's databases cannot be fetched here: dpra's few advisories take their place, as in a rehearsal offline."""
    from dpra.rehearsal import advisories

    os.environ |= advisories.write(tmp_path_factory.mktemp("trivy") / "cache")


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


@pytest.fixture(scope="session")
def dpra() -> Run:
    return _dpra


# What a sample in tests/languages needs on the machine; .ci/packages names the packages.
TOOLS = {
    "c": "cmake",
    "container": "buildah",
    "go": "go",
    "gradle": "gradle",
    "java": "mvn",
    "maven": "mvn",
    "node": "npm",
    "pnpm": "npm",
    "uv": "uv",
    "yarn": "npm",
}


@pytest.fixture(scope="session")
def needs() -> Callable[..., None]:
    """Skips a test whose toolchain, or one of the paths that it needs, is not there; in CI it fails instead."""

    def check(sample: str, *paths: Path) -> None:
        tool = TOOLS.get(sample, sample or "git")
        missing = [str(path) for path in paths if not path.exists()] + [tool] * (not shutil.which(tool))
        if missing == ["terraform"]:  # neither PyPI nor npm nor Debian has it
            pytest.skip("terraform is not there")
        if missing:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"not there: {', '.join(missing)}; see .ci/packages")

    return check


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with the minimal spec, generated."""
    root = tmp_path / "shop"
    root.mkdir()
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main"], cwd=root, check=True)
    (root / "dpra.yml").write_bytes((SPECS / "minimal.yml").read_bytes())
    done = _dpra("generate", cwd=root)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="session")
def new_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `dpra new` makes; tests copy it before they change it."""
    folder = tmp_path_factory.mktemp("new")
    done = _dpra("new", "--no-input", "-o", folder, "name=shop", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "shop"


@pytest.fixture
def copy(new_repository: Path, tmp_path: Path) -> Path:
    """What `dpra new` makes, to be changed."""
    return Path(shutil.copytree(new_repository, tmp_path / "shop"))


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """moto, mended as in a rehearsal, and the AWS CLI, started once."""
    from dpra.rehearsal import aws_cli, mends
    from moto.server import ThreadedMotoServer

    mends.mend()
    folder = tmp_path_factory.mktemp("aws")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    with aws_cli.started(folder):
        yield {
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
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
