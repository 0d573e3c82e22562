"""Functions run as Lambda's runtimes run them: Node.js and Java; those of Python are in test_aws.py."""

import io
import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dpra.rehearsal import functions

Answer = tuple[Any, bool, str]


def invoke(
    runtime: str, files: dict[str, str | bytes], handler: str = "app.handler", event: object = None, timeout: int = 20
) -> Answer:
    """The answer, whether it is an error, and what was printed."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    function = SimpleNamespace(
        run_time=runtime,
        code_bytes=package.getvalue(),
        handler=handler,
        function_name="shop-api",
        timeout=timeout,
        environment_vars={"SAY": "hello"},
    )
    identity = {"AWS_LAMBDA_FUNCTION_NAME": "shop-api", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST"}
    return functions.invoke(function, event, identity)


@pytest.mark.parametrize("runtime", ["dotnet8", "provided.al2023", "ruby3.4", ""])
def test_an_unknown_runtime_is_refused(runtime):
    answer, failed, _ = invoke(runtime, {"app.js": ""})
    assert failed
    assert answer == {"errorMessage": f"the rehearsal runs functions of Python, Node.js, Java, not {runtime}"}


@pytest.mark.parametrize(("runtime", "tool"), [("nodejs24.x", "node is"), ("java21", "is")])
def test_a_toolchain_that_is_not_there_is_named(monkeypatch, tmp_path, runtime, tool):
    monkeypatch.setenv("PATH", str(tmp_path))
    answer, failed, _ = invoke(runtime, {"app.js": ""})
    assert failed
    assert f"{tool} not installed: the rehearsal runs" in answer["errorMessage"]


# ---- Node.js


node = pytest.mark.needs("node")
CALLBACK = "exports.handler = (event, context, callback) => {"


@node
@pytest.mark.parametrize(
    ("runtime", "handler", "files"),
    [
        ("nodejs24.x", "app.handler", {"app.js": "exports.handler = async (event) => event.n + 1"}),
        ("nodejs24.x", "app.handler", {"app.cjs": "module.exports = { handler: async (event) => event.n + 1 }"}),
        ("nodejs24.x", "app.handler", {"app.mjs": "export const handler = async (event) => event.n + 1"}),
        (
            "nodejs24.x",
            "src/app.handler",
            {
                "package.json": '{"type": "module"}',
                "src/app.js": "export async function handler({ n }) { return n + 1 }",
            },
        ),
        ("nodejs24.x", "app.api.get", {"app.js": "exports.api = { get: async ({ n }) => n + 1 }"}),
        ("nodejs24.x", "app.handler", {"app.js": "exports.handler = (event) => event.n + 1"}),
        ("nodejs24.x", "app.handler", {"app.mjs": "const n = await 3; export const handler = async () => n + 1"}),
        ("nodejs22.x", "app.handler", {"app.js": "exports.handler = async (event) => event.n + 1"}),
        ("nodejs22.x", "app.handler", {"app.js": CALLBACK + "setTimeout(() => callback(null, event.n + 1), 9) }"}),
        ("nodejs22.x", "app.handler", {"app.js": "exports.handler = (event, context) => context.succeed(event.n + 1)"}),
    ],
)
def test_a_handler_of_node_answers(runtime, handler, files):
    assert invoke(runtime, files, handler, {"n": 3}) == (4, False, "")


@node
def test_a_callback_answers_when_the_event_loop_is_empty_unless_it_need_not_wait():
    slow = "setTimeout(() => console.log('later'), 200); callback(null, 1) }"
    assert invoke("nodejs22.x", {"app.js": CALLBACK + slow}) == (1, False, "later\n")
    now = "context.callbackWaitsForEmptyEventLoop = false; "
    assert invoke("nodejs22.x", {"app.js": CALLBACK + now + slow}) == (1, False, "")


@node
def test_up_to_node_22_what_a_handler_without_callback_returns_is_lost():
    assert invoke("nodejs22.x", {"app.js": "exports.handler = () => 1"}) == (None, False, "")


@node
@pytest.mark.parametrize(
    ("runtime", "code", "kind", "message"),
    [
        ("nodejs24.x", "exports.handler = async () => { throw new RangeError('oh') }", "RangeError", "oh"),
        ("nodejs24.x", "exports.handler = async () => { throw 'oh' }", "string", "oh"),
        ("nodejs24.x", "exports.handler = () => { throw new Error('oh') }", "Error", "oh"),
        ("nodejs24.x", "exports.handler = async () => ({ n: 1n })", "TypeError", "BigInt"),
        ("nodejs24.x", "exports.handler = () => new Promise(() => {})", "Runtime.NodejsExit", "without an answer"),
        ("nodejs24.x", "exports.handler = async () => process.exit(0)", "Runtime.ExitError", "Runtime exited"),
        ("nodejs24.x", "exports.handler = async (a, b, c) => 1", "Runtime.CallbackHandlerDeprecated", "from Node"),
        ("nodejs24.x", "exports.other = 1", "Runtime.HandlerNotFound", "app.handler is undefined"),
        ("nodejs24.x", "exports.handler = (", "Runtime.UserCodeSyntaxError", ""),
        ("nodejs24.x", "require('nowhere')", "Runtime.ImportModuleError", "Cannot find module 'nowhere'"),
        ("nodejs24.x", "exports.handler = () => new Promise(() => setTimeout(() => oh(), 9))", "ReferenceError", "oh"),
        ("nodejs22.x", CALLBACK + "callback(new TypeError('oh')) }", "TypeError", "oh"),
        ("nodejs22.x", CALLBACK + "callback('oh') }", "string", "oh"),
        ("nodejs22.x", CALLBACK + "throw new Error('oh') }", "Error", "oh"),
        ("nodejs22.x", "exports.handler = async () => await new Promise(() => {})", "Runtime.NodejsExit", ""),
    ],
)  # fmt: skip
def test_an_error_of_node_is_what_lambda_makes_of_it(runtime, code, kind, message):
    answer, failed, _ = invoke(runtime, {"app.js": code})
    assert failed
    assert answer["errorType"] == kind
    assert message in answer["errorMessage"]


@node
def test_a_handler_file_that_is_missing_is_named():
    answer, failed, _ = invoke("nodejs24.x", {"app.js": ""}, "src/app.handler")
    assert failed
    assert answer["errorMessage"] == "Cannot find module 'app'"


@node
def test_a_node_function_has_lambdas_environment_context_and_time():
    code = """
    console.log("loaded");
    exports.handler = async (event, context) => [
        process.env.SAY, process.env.AWS_EXECUTION_ENV, process.env.HOME ?? "", context.functionName,
        context.getRemainingTimeInMillis() > 1000 && context.getRemainingTimeInMillis() < 5000,
    ];
    """
    answer, failed, log = invoke("nodejs24.x", {"app.js": code}, timeout=5)
    assert not failed
    assert answer == ["hello", "AWS_Lambda_nodejs24.x", "", "shop-api", True]
    assert log == "loaded\n"


@node
def test_a_node_function_that_takes_too_long_is_ended():
    code = "exports.handler = () => new Promise((done) => setTimeout(done, 30_000))"
    answer, failed, _ = invoke("nodejs24.x", {"app.js": code}, timeout=1)
    assert failed
    assert answer["errorMessage"] == "Task timed out after 1.00 seconds"


# ---- Java


java = pytest.mark.needs("javac")
Compile = Callable[[str], dict[str, str | bytes]]


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    """Compile shop.App, with methods as given: the files of a package."""

    def compiled(methods: str) -> dict[str, str | bytes]:
        (tmp_path / "App.java").write_text(
            "package shop; import java.io.*; import java.util.*; import com.amazonaws.services.lambda.runtime.Context;"
            f"public class App {{ {methods} }}"
        )
        (tmp_path / "Context.java").write_text(
            "package com.amazonaws.services.lambda.runtime;"
            "public interface Context { String getFunctionName(); int getRemainingTimeInMillis(); Logger getLogger();"
            "interface Logger { void log(String text); void log(byte[] text); } }"
        )
        classes = tmp_path / "classes"
        sources = [tmp_path / "App.java", tmp_path / "Context.java"]
        subprocess.run(["javac", "--release", "17", "-d", classes, *sources], check=True)
        return {str(path.relative_to(classes)): path.read_bytes() for path in classes.rglob("*.class")}

    return compiled


IN_OUT = "(InputStream in, OutputStream out) throws IOException { in.transferTo(out); }"
EVENT = {"text": 'Grüße, "Welt"\\n', "list": [1, 2.5, None]}


@java
@pytest.mark.parametrize(
    ("handler", "methods"),
    [
        ("shop.App::handle", "public void handle" + IN_OUT),
        ("shop.App::handle", "public static void handle" + IN_OUT),
        ("shop.App::handle", "public int handle(int one) { return one; } public void handle" + IN_OUT),
        ("shop.App", "public void handleRequest" + IN_OUT.replace("out)", "out, Context context)", 1)),
    ],
)
def test_a_java_handler_of_streams_answers(compiled, handler, methods):
    assert invoke("java21", compiled(methods), handler, EVENT) == (EVENT, False, "")


@java
def test_a_java_function_has_lambdas_context_and_environment(compiled):
    files = compiled(
        """public void handle(InputStream in, OutputStream out, Context context) throws IOException {
            context.getLogger().log("one");
            context.getLogger().log("two".getBytes());
            int left = context.getRemainingTimeInMillis();
            String said = context.getFunctionName() + System.getenv("SAY") + (left > 0 && left <= 20000);
            out.write(('"' + said + '"').getBytes());
            new Thread(() -> { try { Thread.sleep(60_000); } catch (InterruptedException e) {} }).start();
        }"""
    )
    assert invoke("java21", files, "shop.App::handle") == ("shop-apihellotrue", False, "one\ntwo\n")


@java
def test_a_java_function_finds_its_libraries_in_lib(compiled, tmp_path):
    with zipfile.ZipFile(tmp_path / "shop.jar", "w") as jar:
        for name, content in compiled("public void handle" + IN_OUT).items():
            jar.writestr(name, content)
    package = {"lib/shop.jar": (tmp_path / "shop.jar").read_bytes()}
    assert invoke("java21", package, "shop.App::handle", 1) == (1, False, "")


@java
@pytest.mark.parametrize(
    ("handler", "body", "kind", "message"),
    [
        (
            "shop.App::handle",
            'throw new IllegalStateException("oh \\"no\\"\\n");',
            "IllegalStateException",
            'oh "no"\n',
        ),
        ("shop.App::handle", "throw new UnsupportedOperationException();", "UnsupportedOperationException", None),
        ("shop.App::handle", "System.exit(0);", "Runtime.ExitError", "Runtime exited"),
        ("shop.App::nothing", "", "IllegalArgumentException", "no public method nothing in class shop.App"),
        ("shop.Nothing::handle", "", "ClassNotFoundException", "shop.Nothing"),
    ],
)
def test_an_error_of_java_is_what_lambda_makes_of_it(compiled, handler, body, kind, message):
    files = compiled(f"public void handle(InputStream in, OutputStream out) {{ {body} }}")
    answer, failed, _ = invoke("java21", files, handler)
    assert failed
    assert answer["errorType"].endswith(kind)
    assert answer["errorMessage"] == message


@java
def test_a_java_handler_that_the_rehearsal_cannot_run_is_refused(compiled):
    files = compiled("public String handle(Map<String, Object> event) { return null; }")
    answer, failed, _ = invoke("java21", files, "shop.App::handle")
    assert failed
    assert (
        "the rehearsal runs Java handlers that take an InputStream and an OutputStream, not" in answer["errorMessage"]
    )
    assert "shop.App.handle(java.util.Map)" in answer["errorMessage"]


@java
def test_an_answer_that_is_not_json_is_an_error(compiled):
    files = compiled(
        'public void handle(InputStream in, OutputStream out) throws IOException { out.write("{".getBytes()); }'
    )
    answer, failed, _ = invoke("java21", files, "shop.App::handle")
    assert failed
    assert answer == {"errorMessage": "the handler's answer is not JSON"}


def test_nothing_of_the_dpra_process_reaches_a_function(monkeypatch):
    monkeypatch.setenv("SECRET", "s")
    code = "import os\ndef handler(event, context):\n    return dict(os.environ)\n"
    answer, failed, _ = invoke("python3.13", {"app.py": code})
    assert not failed
    assert "SECRET" not in answer
    assert answer["PATH"] == os.defpath
