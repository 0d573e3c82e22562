"""ECR's registry, which moto does not have: who has a token of ECR's pushes and pulls images as far as IAM allows it.

The protocol is https://github.com/opencontainers/distribution-spec/blob/main/spec.md, as far as skopeo speaks it.
"""

import base64
import hashlib
import json
import re
import secrets
import shlex
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dpra.names import arn, domain

from .act import tools

HOST = re.compile(r"([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.(amazonaws\.(?:com|com\.cn|eu))")
PATH = re.compile(r"/v2/([a-z0-9/._-]+)/(blobs|manifests)/(uploads/)?([\w:.+-]*)")
PUSH = {"POST": "ecr:InitiateLayerUpload", "PATCH": "ecr:UploadLayerPart", "PUT": "ecr:CompleteLayerUpload"}
PULL = {"blobs": "ecr:GetDownloadUrlForLayer", "manifests": "ecr:BatchGetImage"}
# skopeo in the jobs' PATH: it pushes by way of the rehearsal, which has no certificate.
CALLER = """#!/bin/sh
unset NO_PROXY no_proxy http_proxy https_proxy
export HTTP_PROXY={0} HTTPS_PROXY=http://127.0.0.1:9
case " $* " in *" copy "*) set -- "$@" --dest-tls-verify=false ;; esac
exec {1} "$@"
"""

Answer = tuple[int, Mapping[str, str], bytes]


class Registry:
    """The registries of all accounts. `allow(access key, action, resource)` raises where IAM does not let it."""

    def __init__(self, allow: Callable[[str, str, str], None]) -> None:
        self.allow = allow
        self.logins: dict[str, str] = {}  # Authorization header -> access key id
        self.blobs: dict[str, bytes] = {}
        self.uploads: dict[str, bytes] = {}
        self.tags: dict[tuple[str, str], str] = {}  # repository's ARN and tag -> digest

    def log_in(self, access_key: str) -> dict[str, Any]:
        """What ECR answers to get-authorization-token."""
        token = base64.b64encode(f"AWS:{secrets.token_hex(32)}".encode()).decode()
        self.logins[f"Basic {token}"] = access_key
        return {"authorizationData": [{"authorizationToken": token}]}

    def install(self, folder: Path, proxy: str) -> None:
        """Put a skopeo into the folder that finds ECR behind this proxy; without skopeo, do nothing."""
        if not (skopeo := shutil.which("skopeo", path=tools())):
            return
        text = CALLER.format(shlex.quote(proxy), shlex.quote(skopeo))
        (folder / "skopeo").write_text(text, encoding="utf-8")
        (folder / "skopeo").chmod(0o755)

    def answer(
        self, method: str, host: str, path: str, query: Mapping[str, str], authorization: str, body: bytes
    ) -> Answer:
        access_key = self.logins.get(authorization)
        if access_key is None:
            return 401, {"WWW-Authenticate": 'Basic realm="ECR"'}, b""
        place, found = HOST.fullmatch(host), PATH.fullmatch(path)
        if not place or not found:
            return 200 if place and path == "/v2/" else 404, {}, b""
        account, region, suffix = place.groups()
        if suffix != domain(region):
            return 404, {}, b""  # there is no such host
        name, kind, upload, reference = found.groups()
        image = arn(region, "ecr", account, f"repository/{name}")
        action = "ecr:PutImage" if (method, kind) == ("PUT", "manifests") else PUSH.get(method, PULL[kind])
        if (method, kind) == ("HEAD", "blobs"):
            # skopeo remembers which repositories had a layer, also those of other rehearsals on this machine.
            if not _is_there(account, region, name):
                return 404, {}, _error("NAME_UNKNOWN")
            action = "ecr:BatchCheckLayerAvailability"
        self.allow(access_key, action, image)
        if upload:
            return self._upload(path, query.get("digest", ""), body, reference)
        if method == "PUT":
            return self._put(image, reference, body)
        digest = self.tags.get((image, reference), reference)
        if digest not in self.blobs:
            return 404, {}, b""
        content = self.blobs[digest]
        headers = {"Docker-Content-Digest": digest, "Content-Length": str(len(content))}
        if kind == "manifests":
            headers["Content-Type"] = json.loads(content).get("mediaType", "application/vnd.oci.image.manifest.v1+json")
        return 200, headers, b"" if method == "HEAD" else content

    def _upload(self, path: str, digest: str, body: bytes, identity: str) -> Answer:
        """A layer comes in parts, and is closed with its digest."""
        if not identity:
            identity = secrets.token_hex(16)
            self.uploads[identity] = b""
            return 202, {"Location": path + identity, "Range": "0-0"}, b""
        self.uploads[identity] += body
        if not digest:
            return 202, {"Location": path, "Range": f"0-{max(0, len(self.uploads[identity]) - 1)}"}, b""
        content = self.uploads.pop(identity)
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
            return 400, {}, _error("DIGEST_INVALID")
        self.blobs[digest] = content
        return 201, {"Location": path, "Docker-Content-Digest": digest}, b""

    def _put(self, image: str, reference: str, body: bytes) -> Answer:
        """A manifest: all that it names must be there, and a tag is given once."""
        from moto.ecr.models import ecr_backends

        _, _, _, region, account, name = image.split(":", 5)
        digest, manifest = f"sha256:{hashlib.sha256(body).hexdigest()}", json.loads(body)
        by_tag = not reference.startswith("sha256:")
        if self.tags.get((image, reference), digest) != digest or not (by_tag or reference == digest):
            return 400, {}, _error("TAG_INVALID" if by_tag else "DIGEST_INVALID")
        named = manifest.get("manifests") or [manifest["config"], *manifest["layers"]]
        if any(one["digest"] not in self.blobs for one in named):
            return 400, {}, _error("MANIFEST_BLOB_UNKNOWN")
        backend = ecr_backends[account][region]
        kind = manifest.get("mediaType", "application/vnd.oci.image.manifest.v1+json")
        tag: Any = reference if by_tag else None
        backend.put_image(name.removeprefix("repository/"), body.decode(), tag, kind, digest)
        self.blobs[digest] = body
        if by_tag:
            self.tags[image, reference] = digest
        return 201, {"Docker-Content-Digest": digest}, b""


def _is_there(account: str, region: str, repository: str) -> bool:
    from moto.ecr.models import ecr_backends

    return repository in ecr_backends[account][region].repositories


def _error(code: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": code}]}).encode()
