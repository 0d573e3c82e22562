"""What a role of the pipeline may do: its permission policies, evaluated for each request as IAM does it.

It knows the resources that a delivery touches: stacks, objects, functions, roles that are passed. A request about any
other resource is allowed only by a statement that names all resources.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs, unquote

from dpra import resources
from dpra.names import arn, partition

from . import guardrails, machine_rights, organization_rights

_policies = resources.lib("policies")

# An operation's name in its service's API -> its name in IAM, where they differ.
ACTIONS = {"lambda:Invoke": "lambda:InvokeFunction"}
# S3's method, with a key in the path and without -> the action; its queries tell a few operations apart.
S3 = {
    ("DELETE", True): "DeleteObject",
    ("GET", True): "GetObject",
    ("HEAD", True): "GetObject",
    ("POST", True): "PutObject",
    ("PUT", True): "PutObject",
    ("GET", False): "ListBucket",
    ("HEAD", False): "ListBucket",
    ("PUT", False): "CreateBucket",
}
S3_QUERIES = {
    ("GET", "tagging"): "GetObjectTagging",
    ("PUT", "tagging"): "PutObjectTagging",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
    ("GET", "uploadId"): "ListMultipartUploadParts",
    ("GET", "uploads"): "ListBucketMultipartUploads",
}
S3_CONDITIONS = {"HTTP_IF_MATCH": "s3:if-match", "HTTP_IF_NONE_MATCH": "s3:if-none-match"}
PREFIXES = {"monitoring": "cloudwatch", "tagging": "tag"}  # the name that a service signs with -> its prefix in IAM
NAMED = {
    **dict.fromkeys(organization_rights.SERVICES, ("AccountId",)),
    "dynamodb": ("TableName",),
    "ecr": ("repositoryName",),
    "kms": ("KeyId",),
    "logs": ("logGroupName", "logStreamName"),
    "servicecatalog": ("ProductId",),
    "ssm": ("Name", "ResourceId", "Path", "Overwrite"),
}  # what is read of a request of JSON: what names its resource, and what conditions ask for
MODELLED = ("appconfig", "controltower", "imagebuilder")  # services whose requests are read by botocore's model of them
OPEN = {"sts:GetCallerIdentity"}  # needs no permission
ANYBODY = "arn:aws:iam::000000000000:role/anybody"
Context = Mapping[str, str | list[str]]  # condition keys that a request has -> their values
# The condition keys that a request here has where it would have them on AWS: of any other one it is not known.
KNOWN = {
    *("aws:PrincipalArn", "aws:ResourceAccount", "aws:SecureTransport", "iam:PassedToService"),
    *("iam:PermissionsBoundary", "kms:RequestAlias", "kms:ResourceAliases", "ssm:Overwrite", *S3_CONDITIONS.values()),
    "s3:ObjectCreationOperation",
}
# What the judge knows of a request, and the operators that it takes; see `allows`.
UNDERSTOOD = _policies.Known(
    keys=frozenset(key.lower() for key in KNOWN),
    operators=frozenset("StringEquals StringEqualsIgnoreCase StringLike ArnEquals ArnLike Bool Null".split()),
    # Of these the tags are known of whatever is there.
    whole={**dict.fromkeys(MODELLED, ("",)), "ec2": ("aws:resourcetag/", "ec2:resourcetag/")},
)


def asked(
    service: str, region: str, account: str, environ: Mapping[str, Any], form: Mapping[str, str]
) -> Iterator[tuple[str, str, Context]]:
    """Each permission that a request needs: action, resource, and the values of its condition keys."""
    for action, target, context in needed(service, region, account, environ, form):
        yield action, target, guardrails.placed(context, region)


def needed(
    service: str, region: str, account: str, environ: Mapping[str, Any], form: Mapping[str, str]
) -> Iterator[tuple[str, str, Context]]:
    if service in MODELLED:
        yield from import_module(f".mends.{service}.rights", __package__).asked(region, account, environ)
        return
    if service == "ec2":
        yield from machine_rights.ec2(operation(service, environ, form), region, account, form)
        return
    if service == "servicecatalog":
        from .mends import service_catalog

        # The front has read the body already, for what NAMED says, and left it to be read again.
        said = json.loads(environ["wsgi.input"].getvalue() or b"{}")
        yield from service_catalog.rights(region, account, operation(service, environ, form), said)
        return
    name = operation(service, environ, form)
    if service in organization_rights.SERVICES:
        yield from organization_rights.asked(service, name, region, account, organization_rights.body(environ))
        return
    if service == "cloudformation" and organization_rights.STACK_SETS.fullmatch(name):
        yield from organization_rights.of_stack_set(name, region, account, form)
        return
    action = f"{PREFIXES.get(service, service)}:{name}"
    if action in machine_rights.MANAGED:
        yield from machine_rights.of_managed(action, region, account, environ)
        return
    action = ACTIONS.get(action, action)
    if service == "kms":
        yield action, *key(region, account, form)
    else:
        said = {key: environ[header] for header, key in S3_CONDITIONS.items() if service == "s3" and header in environ}
        if action == "s3:PutObject":
            said["s3:ObjectCreationOperation"] = "false" if in_parts(environ) else "true"
        if service == "ssm":
            said["ssm:Overwrite"] = form.get("Overwrite", "").lower()
        yield action, resource(service, region, account, environ["PATH_INFO"], form), said
    if service == "cloudformation" and form.get("RoleARN"):
        yield "iam:PassRole", form["RoleARN"], {"iam:PassedToService": "cloudformation.amazonaws.com"}


def operation(service: str, environ: Mapping[str, Any], form: Mapping[str, str]) -> str:
    """The operation's name: from the form, the target header or the path, as the service's protocol has it."""
    if "Action" in form:
        return form["Action"]
    path = environ["PATH_INFO"]
    if service in MODELLED:
        found = import_module(f".mends.{service}.api", __package__).route(environ)
        return str(found[1].name) if found else "Unknown"
    if service == "s3":
        method, query = environ["REQUEST_METHOD"], parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        of_query = [S3_QUERIES[method, name] for name in query if (method, name) in S3_QUERIES]
        return of_query[0] if of_query else S3.get((method, "/" in path.strip("/")), "Unknown")
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        return str(target).rpartition(".")[2]
    if cbor := re.fullmatch(r"/service/[^/]+/operation/([^/]+)", path):
        return cbor[1]
    for method, pattern, name in rest(service):
        if method == environ["REQUEST_METHOD"] and pattern.fullmatch(path):
            return name
    return "Unknown"


def in_parts(environ: Mapping[str, Any]) -> bool:
    """Whether a request begins an upload in parts, or has one of them: no object comes of that yet."""
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    return "uploads" in query or (environ["REQUEST_METHOD"] == "PUT" and "uploadId" in query)


@cache
def rest(service: str) -> tuple[tuple[str, re.Pattern[str], str], ...]:
    """The operations of a service with REST paths, the most specific path first."""
    import botocore.session
    from botocore.exceptions import UnknownServiceError

    try:
        model = botocore.session.Session().get_service_model(service)
    except UnknownServiceError:
        return ()
    found = []
    for name in model.operation_names:
        http = model.operation_model(name).http
        path = http["requestUri"].partition("?")[0].rstrip("/")
        pattern = "".join(
            "[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{[^}]*\})", path)
        )
        found.append((http["method"], re.compile(pattern + "/?"), name))
    return tuple(sorted(found, key=lambda entry: -len(entry[1].pattern)))


def resource(service: str, region: str, account: str, path: str, form: Mapping[str, str]) -> str:
    """The ARN of what a request is about; `*` where this is not known here."""
    match service:
        case "cloudformation":
            name = form.get("StackName") or form.get("ChangeSetName", "")
            if name.startswith("arn:"):  # arn:…:stack/NAME/id or arn:…:changeSet/NAME-of-set/id
                name = stack_of(account, region, name)
            return arn(region, service, account, f"stack/{name}/id") if name else "*"
        case "s3":
            return f"arn:{partition(region)}:s3:::{unquote(path).strip('/')}"
        case "ecr":
            name = form.get("repositoryName", "")
            return arn(region, service, account, f"repository/{name}") if name else "*"
        case "ssm":
            name = (form.get("Name") or form.get("ResourceId") or form.get("Path", "")).strip("/")
            owner = "" if name.startswith("aws/") else account  # AWS's own are of no account
            return arn(region, service, owner, f"parameter/{name}") if name else "*"
        case "dynamodb":
            name = form.get("TableName", "")
            return arn(region, service, account, f"table/{name}") if name else "*"
        case "logs":
            named = [form[key] for key in ("logGroupName", "logStreamName") if form.get(key)]
            return arn(region, service, account, f"log-group:{':log-stream:'.join(named)}") if named else "*"
        case "iam":
            return machine_rights.profile(region, account, form) if "InstanceProfileName" in form else "*"
        case "synthetics":
            found = re.match(r"/canary/([^/]+)", path)
            return arn(region, service, account, f"canary:{unquote(found[1])}") if found else "*"
        case "lambda":
            found = re.match(r"/[0-9-]+/functions/([^/]+)", path)
            return arn(region, service, account, f"function:{unquote(found[1])}") if found else "*"
    return "*"


def key(region: str, account: str, form: Mapping[str, str]) -> tuple[str, Context]:
    """The ARN of the key that a request names, by id or by alias, and its aliases as IAM's conditions know them."""
    from moto.kms.models import kms_backends

    named = form.get("KeyId", "")
    if named.startswith("arn:"):
        _, _, _, region, account, named = named.split(":", 5)
    keys = kms_backends[account][region]
    by_alias = named.startswith("alias/")
    found = str(keys.get_key_id_from_alias(named) if by_alias else named.removeprefix("key/"))
    aliases = sorted(keys.keys[found].aliases) if found in keys.keys else []
    about = {"kms:ResourceAliases": aliases} if aliases else {}
    return arn(region, "kms", account, f"key/{found}"), about | ({"kms:RequestAlias": named} if by_alias else {})


def of_resource(target: str) -> tuple[str, Mapping[str, Any]] | None:
    """The owner of an object or a key, and the policy of its bucket or its own. None for other resources."""
    from moto.kms.models import kms_backends
    from moto.s3.models import s3_backends

    _, within, service, region, owner, name = target.split(":", 5) if target.startswith("arn:") else ("",) * 6
    if service == "s3":
        buckets = s3_backends
        for other in list(buckets):
            if bucket := buckets[other][within].buckets.get(name.partition("/")[0]):
                return other, policy_of(bucket.policy)
    elif service == "kms" and (found := kms_backends[owner][region].keys.get(name.removeprefix("key/"))):
        return owner, policy_of(found.policy)
    return None


def refusal(role: Any, action: str, target: str, context: Context) -> str:
    """Why AWS refuses it to a role of moto's: by its organisation's policies, its own, its boundary, or those of the
    resource; else empty.

    A resource's policy only takes here: what it allows, and the role's own policies do not, is refused."""
    if why := guardrails.refusal(role, action, target, context):
        return why
    owner = target.split(":")[4] if target.startswith("arn:") else ""
    about = {
        **context,
        **{
            "aws:PrincipalArn": role.arn,
            "aws:ResourceAccount": owner or role.account_id,
            "aws:SecureTransport": "true",
        },
    }
    # moto keeps a policy as it came: CloudFormation's as a mapping, the API's as text.
    own = {name: policy_of(policy) for name, policy in role.policies.items()}
    own |= {arn: document(role, arn) or {"Statement": []} for arn in attached(role)}
    boundary = document(role, role.permissions_boundary_arn) if role.permissions_boundary_arn else None
    by = {
        "identity": [read(policy, "identity", name) for name, policy in own.items()],
        "boundary": read(boundary, "boundary", role.permissions_boundary_arn) if boundary else None,
    }
    asked = _policies.Request(role.arn, action, target, about, account=role.account_id)
    found = _policies.decide(asked, **by)
    if found.allowed and (there := of_resource(target)):
        asked = _policies.Request(role.arn, action, target, about, account=there[0])
        found = _policies.decide(asked, **by, resource=read(there[1], "resource", target))
    if found.allowed:
        return ""
    if found.kind == "resource":
        return "its resource-based policy does not let it"
    return f"no {_policies.KINDS[found.kind].words} allows it"


def because(reason: str) -> str:
    """How AWS tells it."""
    return reason if reason.startswith("with ") else f"because {reason}"


def attached(role: Any) -> list[str]:
    """The ARNs of the managed policies that a role has; CloudFormation's, which moto forgets, are kept beside it."""
    return [*role.managed_policies, *role.__dict__.get("dpra_managed", ())]


def document(role: Any, arn: str) -> Mapping[str, Any] | None:
    """A managed policy of AWS's or of the role's account; None for one that is not there."""
    from moto.iam.models import iam_backends

    if ":iam::aws:" in arn:
        return managed().get(arn.rpartition("/")[2])
    found = iam_backends[role.account_id][role.partition].managed_policies.get(arn)
    return policy_of(next(version.document for version in found.versions if version.is_default)) if found else None


@cache
def managed() -> Mapping[str, Mapping[str, Any]]:
    """AWS's own managed policies, as moto has them."""
    from moto.iam.aws_managed_policies import aws_managed_policies_data

    return {name: said["Document"] for name, said in json.loads(aws_managed_policies_data).items()}


def policy_of(kept: Any) -> Mapping[str, Any]:
    found = json.loads(kept) if isinstance(kept, str | bytes) else kept
    return dict(found or {"Statement": []})


def stack_of(account: str, region: str, arn: str) -> str:
    """The name of the stack that a stack's or a change set's ARN belongs to."""
    from moto.cloudformation.models import cloudformation_backends

    change_set = cloudformation_backends[account][region].change_sets.get(arn)
    return (change_set.stack_id if change_set else arn).split("/")[1]


def allows(policies: Iterable[Mapping[str, Any]], action: str, target: str, context: Context) -> bool:
    """Would IAM allow it by these identity policies?

    Of a condition key that is not in `KNOWN`, and of what is not understood, the answer is the careful one: a statement
    that allows does not hold, and one that denies does."""
    asked = _policies.Request(ANYBODY, action, target, context, account=ANYBODY.split(":")[4])
    return bool(_policies.decide(asked, identity=[read(policy) for policy in policies]).allowed)


def read(policy: Mapping[str, Any], kind: str = "identity", name: str = "") -> Any:
    """A policy for the judge, compiled once."""
    return _read(json.dumps(policy), kind, name)


@lru_cache(maxsize=1024)
def _read(text: str, kind: str, name: str) -> Any:
    return _policies.Policy(name, json.loads(text), kind, UNDERSTOOD)
