"""AWS on 127.0.0.1: moto behind a front that refuses what AWS refuses.

moto admits any caller to any role. The front lets nobody in but by the web-identity exchange: it checks GitHub's
token, evaluates the trust policy of the role as CloudFormation made it from the emitted templates, and serves only
credentials that it gave out itself in this run.
"""

import base64
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from io import BytesIO
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from dpra.names import partition
from dpra.spec.models import PARTITIONS

from . import functions, permissions, processes, roots, sts
from .faults import Pending
from .github import GitHub
from .oidc import PROVIDER, Issuer, Refused, admits, verify
from .registry import Registry
from .result import RehearsalError
from .sigstore import Sigstore

TOKEN_PATH = "/_dpra/token"  # noqa: S105
ATTEST_PATH = "/_dpra/attest"
GITHUB_PATH = "/_dpra/github"
HTTP_PATH = re.compile(r"/_dpra/http/(api|url)/([0-9]+)/([a-z0-9-]+)/([^/]+)(/.*)?")
INVOKE_PATH = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")
CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/[0-9]+/([^/]+)/([^/]+)/aws4_request")
ROLE = re.compile(r"arn:([a-z-]+):iam::([0-9]{12}):role/.+")
SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}")

Answer = tuple[int, Mapping[str, str], bytes]


class Cloud:
    """All accounts of a rehearsal, and GitHub's endpoints for tokens and attestations.

    A context manager; one at a time in a process."""

    def __init__(self, issuer: Issuer) -> None:
        try:
            from moto.moto_server.werkzeug_app import (
                DomainDispatcherApplication,
                MotoRequestHandler,
                create_backend_app,
            )
            from werkzeug.serving import make_server
        except ImportError as error:
            raise RehearsalError("moto is not installed: pip install 'dpra[rehearse]'") from error
        from . import mends

        mends.mend()
        mends.forget()
        quiet = type("Quiet", (MotoRequestHandler,), {"log_request": lambda *_: None})
        self.issuer = issuer
        self.github = GitHub(issuer.repository, issuer.trunk)
        self.sigstore = Sigstore()
        self.registry = Registry(self.allow)
        self.keys: dict[str, tuple[str, str]] = {}  # access key id -> account, session token
        self.partitions: dict[str, str] = {}  # access key id -> the partition that its account is in
        self.ends: dict[str, float] = {}  # access key id -> when it expires, seconds since 1970
        self.roles: dict[str, str] = {}  # access key id -> ARN of the pipeline's role
        self.refusals: list[str] = []  # why STS refused; AWS itself does not tell
        self.callers: dict[str, dict[str, str]] = {}  # access key id -> the job of a run that got it
        self.faults: dict[str, Pending] = {}  # run id -> what is to go wrong in it
        self.asked_at = 0.0  # when the last request came
        self.ahead = 0.0  # seconds that have passed here, though not on this machine: credentials end by them, too
        self.lock = threading.Lock()  # moto is not made for several jobs at once
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.make_server = partial(make_server, "127.0.0.1", 0, self.serve, threaded=True, request_handler=quiet)
        self.listen()

    def listen(self) -> None:
        """Take an address; in a forked process, one of its own."""
        self.server = self.make_server()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.token_url = f"{self.url}{TOKEN_PATH}?api-version=2.0"
        self.attest_url, self.github_url = f"{self.url}{ATTEST_PATH}", f"{self.url}{GITHUB_PATH}"
        from .mends import resource_types
        from .mends.protocol import FRONT

        resource_types.HTTP["base"] = f"{self.url}/_dpra/http"
        FRONT["cloud"] = self

    def __enter__(self) -> "Cloud":
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def fork(self) -> None:
        """In a forked process: the accounts as they are, behind an address of its own."""
        self.server.server_close()
        self.lock = threading.Lock()
        self.refusals = []
        self.listen()
        self.__enter__()

    def __exit__(self, *_: object) -> None:
        processes.stop()
        roots.stop()
        self.server.shutdown()
        self.server.server_close()

    # ---- Requests

    def serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        from werkzeug.http import HTTP_STATUS_CODES

        status, headers, body = self.answer(environ)
        headers = {**headers, "Content-Length": headers.get("Content-Length", str(len(body)))}
        start_response(f"{status} {HTTP_STATUS_CODES.get(status, 'Unknown')}", list(headers.items()))
        yield body

    def answer(self, environ: dict[str, Any]) -> Answer:
        path, query = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
        self.asked_at = time.monotonic()
        service = "sts"
        try:
            if path == TOKEN_PATH:
                return self.token(environ, query)
            if path == ATTEST_PATH:
                return self.attest(environ)
            if path.startswith(f"{GITHUB_PATH}/"):
                return self.ask_github(environ, path.removeprefix(f"{GITHUB_PATH}/"), query)
            if path.startswith("/v2/"):
                service = "ecr"
                return self.image(environ, path, query)
            if http := HTTP_PATH.fullmatch(path):
                return self.http(environ, http, query)
            signed = CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", "") or unquote(query).replace("X-Amz-", ""))
            form = read_form(environ) if path == "/" else {}
            if signed and (named := permissions.NAMED.get(signed[3])):
                said = json.loads(read_body(environ) or b"{}")
                form |= {name: str(said.get(name, "")) for name in named}
            if form.get("Action") == "AssumeRoleWithWebIdentity":
                with self.lock:
                    return self.web_identity(form)
            if not signed:
                raise Refused("MissingAuthenticationToken", "Request is missing Authentication Token")
            access_key, region, service = signed.groups()
            account = self.account(access_key, region, environ, query)
            if form.get("Action") != "GetCallerIdentity":  # who one is, is asked at once
                self.expire(access_key)
            if service == "sts" and form.get("Action") == "AssumeRole":
                return self.assume_role(access_key, form)
            if service == "sts" and form.get("Action") != "GetCallerIdentity":
                raise Refused("AccessDenied", f"{form.get('Action')} is not granted to any role of this rehearsal")
            job = self.callers.get(access_key, {})
            pending = self.faults.get(job.get("run_id", ""))
            operation = permissions.operation(service, environ, form)
            if service in permissions.MODELLED:  # its permissions and its answer need it
                environ |= {"dpra.body": read_body(environ), "dpra.service": service}
            if pending:
                pending.asked(job["job"], service, operation, account, region)
            self.permit(access_key, service, region, account, environ, form)
            if service == "ecr" and operation == "GetAuthorizationToken":
                return json_answer(self.registry.log_in(access_key))
            if service == "lambda" and (invoked := INVOKE_PATH.fullmatch(path)):
                return self.invoke(environ, account, region, unquote(invoked[1]), query)
            answer = self.forward(environ, account, region)
            if pending:
                pending.answered(job["job"], operation, region)
            return answer
        except Refused as refused:
            return error_answer(service, environ.get("CONTENT_TYPE", ""), refused)

    def account(self, access_key: str, region: str, environ: Mapping[str, Any], query: str) -> str:
        """The account whose credentials sign this request. They are known in the regions of their partition only."""
        account, session = self.keys.get(access_key, ("", ""))
        header = environ.get("HTTP_X_AMZ_SECURITY_TOKEN") or (parse_qs(query).get("X-Amz-Security-Token") or [""])[0]
        if not account or header != session or self.partitions[access_key] != partition(region):
            raise Refused("InvalidClientTokenId", "The security token included in the request is invalid.")
        return account

    def expire(self, access_key: str) -> None:
        """Refuse credentials that have ended. A bake that a runner waits for passes at once, before its first look."""
        self.ahead += 60 * int(self.callers.get(access_key, {}).pop("bakes", "0"))
        if time.time() + self.ahead >= self.ends[access_key]:
            raise Refused("ExpiredToken", "The security token included in the request is expired", 400)

    def permit(
        self,
        access_key: str,
        service: str,
        region: str,
        account: str,
        environ: Mapping[str, Any],
        form: Mapping[str, str],
    ) -> None:
        """Refuse what the policies of the pipeline's role do not allow. A function's own role is not looked at."""
        for action, target, context in permissions.asked(service, region, account, environ, form):
            self.allow(access_key, action, target, context)

    def allow(
        self, access_key: str, action: str, target: str, context: permissions.Context = MappingProxyType({})
    ) -> None:
        """Refuse one action on one resource where the caller's policies, or the resource's own, do not allow it."""
        from moto.iam.models import iam_backends

        if (role_arn := self.roles.get(access_key)) is None or action in permissions.OPEN:
            return
        role = iam_backends[self.keys[access_key][0]][self.partitions[access_key]].get_role_by_arn(role_arn)
        if reason := permissions.refusal(role, action, target, context):
            message = f"{role_arn} is not authorized to perform: {action} on resource: {target}"
            self.refusals.append(message)
            raise Refused("AccessDenied", f"User: {message} {permissions.because(reason)}")

    def forward(self, environ: dict[str, Any], account: str, region: str) -> Answer:
        """moto's answer; that of services of which moto has a part only, or nothing, is our own."""
        own = import_module(f".mends.{environ['dpra.service']}.store", __package__) if "dpra.body" in environ else None
        started: list[Any] = []
        with self.lock:
            try:
                if own:
                    answer: Answer = own.answer(account, region, environ)
                    return answer
                parts = self.moto(environ, lambda *args: started.extend(args))
                body = b"".join(parts)
            except Exception as error:
                self.refusals.append(f"moto failed: {type(error).__name__}: {error}")
                raise Refused("InternalFailure", f"moto: {type(error).__name__}: {error}", 500) from error
        return int(started[0].split()[0]), dict(started[1]), body

    def image(self, environ: dict[str, Any], path: str, query: str) -> Answer:
        """A request to a registry of ECR."""
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        body = environ["wsgi.input"].read() if environ.get("wsgi.input_terminated") else read_body(environ)
        with self.lock:
            authorization = environ.get("HTTP_AUTHORIZATION", "")
            host = environ.get("HTTP_HOST", "")
            return self.registry.answer(environ["REQUEST_METHOD"], host, path, asked, authorization, body)

    # ---- GitHub's API, its token endpoint, and AWS's exchange of its token for credentials

    def ask_github(self, environ: dict[str, Any], path: str, query: str) -> Answer:
        method, authorization = environ["REQUEST_METHOD"], environ.get("HTTP_AUTHORIZATION", "")
        with self.lock:
            status, document = self.github.answer(method, path, query, read_body(environ), authorization)
        return json_answer(document, status)

    def token(self, environ: Mapping[str, Any], query: str) -> Answer:
        scheme, _, bearer = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        owner = self.issuer.repository.split("/")[0]
        audience = (parse_qs(query).get("audience") or [f"https://github.com/{owner}"])[0]
        try:
            if scheme.lower() != "bearer":
                raise Refused("Unauthorized", "a bearer token is needed", 401)
            token = self.issuer.token(bearer, audience)
        except Refused as refused:
            self.refusals.append(f"GitHub's token endpoint: {refused}")
            return json_answer({"message": str(refused)}, refused.status)
        return json_answer({"count": len(token), "value": token})

    def attest(self, environ: dict[str, Any]) -> Answer:
        """GitHub's Sigstore: signs what a job says, as the job that its token shows it to be."""
        asked = json.loads(read_body(environ))
        try:
            claims = verify(asked["token"], self.issuer.secret)
            if claims["aud"] != "sigstore":
                raise Refused("Unauthorized", "the token is not for the audience sigstore", 401)
        except Refused as refused:
            return json_answer({"message": str(refused)}, refused.status)
        return json_answer(self.sigstore.attest(claims, asked["statement"]))

    def web_identity(self, form: Mapping[str, str]) -> Answer:
        role_arn = form.get("RoleArn", "")
        try:
            claims = self.admit(role_arn, form.get("WebIdentityToken", ""), form.get("RoleSessionName", ""))
            duration = sts.lifetime(role_arn, form.get("DurationSeconds") or "3600")
        except Refused as refused:
            self.refusals.append(f"{role_arn}: {refused}")
            message = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
            said = message if refused.code == "AccessDenied" else str(refused)
            raise Refused(refused.code, said, refused.status) from None
        session = self.give(role_arn, form["RoleSessionName"], duration)
        self.roles[session.access_key_id] = role_arn
        self.callers[session.access_key_id] = self.issuer.holders.get(claims["jti"], {})
        about = {
            "SubjectFromWebIdentityToken": claims["sub"],
            "Audience": claims["aud"],
            "Provider": f"arn:{session.partition}:iam::{session.account_id}:oidc-provider/{PROVIDER}",
        }
        return xml_answer("AssumeRoleWithWebIdentity", {**about, **sts.given(session)})

    def assume_role(self, access_key: str, form: Mapping[str, str]) -> Answer:
        """A role that a role of the pipeline takes: its own policies and the trust policy must both let it."""
        role_arn = form.get("RoleArn", "")
        self.allow(access_key, "sts:AssumeRole", role_arn)
        if reason := sts.refusal(role_arn, self.roles.get(access_key, "")):
            self.refusals.append(f"{role_arn}: {reason}")
            raise Refused("AccessDenied", f"not authorized to perform: sts:AssumeRole on resource: {role_arn}")
        duration = sts.lifetime(role_arn, form.get("DurationSeconds") or "3600", sts.CHAINED)
        with self.lock:
            session = self.give(role_arn, form.get("RoleSessionName", ""), duration)
        self.roles[session.access_key_id] = role_arn
        self.callers[session.access_key_id] = self.callers.get(access_key, {})
        return xml_answer("AssumeRole", sts.given(session))

    def admit(self, role_arn: str, token: str, session_name: str) -> dict[str, Any]:
        """The claims of a token that may assume this role; otherwise it is refused."""
        from moto.iam.models import iam_backends

        claims = verify(token, self.issuer.secret)
        if not SESSION_NAME.fullmatch(session_name):
            raise Refused("ValidationError", f"{session_name!r} is no role session name", 400)
        named = ROLE.fullmatch(role_arn)
        if not named or named[1] not in PARTITIONS:
            raise Refused("ValidationError", f"{role_arn} is invalid", 400)
        within, account = named.groups()
        provider_arn = f"arn:{within}:iam::{account}:oidc-provider/{PROVIDER}"
        iam = iam_backends[account][within]
        provider = iam.open_id_providers.get(provider_arn)
        if provider is None:
            raise Refused(
                "InvalidIdentityToken", f"No OpenIDConnect provider found in your account for https://{PROVIDER}", 400
            )
        if claims["aud"] not in provider.client_id_list:
            raise Refused("InvalidIdentityToken", "Incorrect token audience", 400)
        role = next((role for role in iam.get_roles() if role.arn == role_arn), None)
        if role is None:
            raise Refused("AccessDenied", "there is no such role")
        if reason := admits(json.loads(role.assume_role_policy_document), claims, provider_arn):
            raise Refused("AccessDenied", f"its trust policy does not admit this job: {reason}")
        return claims

    def give(self, role_arn: str, session_name: str, duration: int = 3600) -> Any:
        """Credentials of a role's account, known to this front."""
        from moto.sts.models import sts_backends

        _, within, _, _, account, _ = role_arn.split(":", 5)
        session = sts_backends[account][within].assume_role(
            region_name=within, role_session_name=session_name, role_arn=role_arn, policy="", duration=duration,
            external_id="",
        )  # fmt: skip
        self.keys[session.access_key_id] = (account, session.session_token)
        self.partitions[session.access_key_id] = within
        self.ends[session.access_key_id] = time.time() + self.ahead + duration
        return session

    # ---- Functions

    def invoke(self, environ: dict[str, Any], account: str, region: str, name: str, query: str) -> Answer:
        qualifier = parse_qs(query).get("Qualifier", [""])[0] or None
        event = json.loads(read_body(environ) or b"{}")
        answer, failed, log = self.run(account, region, name, event, qualifier)
        headers = {
            "Content-Type": "application/json",
            "X-Amz-Executed-Version": qualifier or "$LATEST",
            "X-Amz-Log-Result": base64.b64encode(log.encode()[-4096:]).decode(),
        }
        if environ.get("HTTP_X_AMZ_INVOCATION_TYPE", "RequestResponse") == "Event":
            return 202, headers, b""
        return 200, headers | ({"X-Amz-Function-Error": "Unhandled"} if failed else {}), json.dumps(answer).encode()

    def http(self, environ: dict[str, Any], match: re.Match[str], query: str) -> Answer:
        """A request to an API or a function URL; the function's own policy decides who may call it."""
        from moto.awslambda.models import lambda_backends

        kind, account, region, name, path = match.groups()
        principal, reply = ("apigateway.amazonaws.com", 500) if kind == "api" else ("*", 403)
        with self.lock:
            statements = lambda_backends[account][region].get_function(name).policy.statements
        if not any(principal in json.dumps(statement.get("Principal")) for statement in statements):
            self.refusals.append(f"{name}: no AWS::Lambda::Permission lets {principal} invoke it")
            return json_answer({"message": "Internal Server Error" if kind == "api" else "Forbidden"}, reply)
        headers = {key[5:].replace("_", "-"): str(value) for key, value in environ.items() if key.startswith("HTTP_")}
        headers["content-type"] = environ.get("CONTENT_TYPE", "")
        event = functions.http_event(environ["REQUEST_METHOD"], path or "/", query, headers, read_body(environ))
        answer, failed, _ = self.run(account, region, name, event, None)
        if failed:
            return json_answer({"message": "Internal Server Error"}, 500 if kind == "api" else 502)
        return functions.http_answer(answer)

    def run(self, account: str, region: str, name: str, event: Any, qualifier: str | None) -> tuple[Any, bool, str]:
        from moto.awslambda.models import lambda_backends

        with self.lock:
            try:
                function = lambda_backends[account][region].get_function(name, qualifier)
            except Exception as error:  # moto's classes for "not found" differ by version
                raise Refused("ResourceNotFoundException", f"Function not found: {name}", 404) from error
            session = self.give(function.role, name)
        environment = {
            "AWS_ACCESS_KEY_ID": session.access_key_id,
            "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
            "AWS_SESSION_TOKEN": session.session_token,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
            "AWS_LAMBDA_FUNCTION_VERSION": str(qualifier or "$LATEST"),
        }
        return functions.invoke(function, event, environment)  # outside the lock: it may call AWS itself


def read_body(environ: dict[str, Any]) -> bytes:
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = BytesIO(body)  # moto reads it again
    return body


def read_form(environ: dict[str, Any]) -> dict[str, str]:
    """The parameters of a query-protocol request."""
    text = environ.get("QUERY_STRING", "")
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        text += "&" + read_body(environ).decode()
    return {name: values[0] for name, values in parse_qs(text).items()}


def json_answer(document: Any, status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(document).encode()


def xml_answer(name: str, result: Mapping[str, Any]) -> Answer:
    """What an operation of a query-protocol service gives."""
    return 200, {"Content-Type": "text/xml"}, xml({f"{name}Response": {f"{name}Result": result}})


def error_answer(service: str, content_type: str, refused: Refused) -> Answer:
    """An error in the protocol that the service speaks."""
    error = {"Code": refused.code, "Message": str(refused)}
    if service == "s3":
        return refused.status, {"Content-Type": "application/xml"}, xml({"Error": error})
    if "json" in content_type or service in (*permissions.MODELLED, "lambda"):
        status, headers, body = json_answer({"__type": refused.code, "message": str(refused)}, refused.status)
        return status, {**headers, "X-Amzn-ErrorType": refused.code}, body
    document = {"ErrorResponse": {"Error": {"Type": "Sender", **error}, "RequestId": secrets.token_hex(8)}}
    if service == "ec2":  # it has a form of its own, and a word for what no policy allows
        code = "UnauthorizedOperation" if refused.code == "AccessDenied" else refused.code
        document = {"Response": {"Errors": {"Error": {**error, "Code": code}}, "RequestID": secrets.token_hex(8)}}
    return refused.status, {"Content-Type": "text/xml"}, xml(document)


def xml(value: Any) -> bytes:
    def text(value: Any) -> str:
        if isinstance(value, Mapping):
            return "".join(f"<{name}>{text(inner)}</{name}>" for name, inner in value.items())
        return escape(str(value))

    return text(value).encode()
