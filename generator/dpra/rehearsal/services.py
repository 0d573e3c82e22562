"""What real actions ask GitHub for, on 127.0.0.1: artifacts, caches, and the repository by git.

Artifacts and caches speak what npm's @actions/artifact 6 and @actions/cache 6 speak: Twirp's JSON to the results
service, and Azure's blob storage at the addresses that it signs. Artifacts lie where the stand-ins put them, too.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import shutil
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

from dpra.dataclasses import dataclass

from .oidc import Refused, sign

TWIRP = re.compile(r"/twirp/github\.actions\.results\.api\.v1\.(Artifact|Cache)Service/([A-Za-z]+)")
BLOB = re.compile("/dpra/blobs/([0-9]+)")  # account, container, name, as where an account has no host of its own
GIT = re.compile(r"/(.+?)(?:\.git)?(/info/refs|/git-upload-pack)")
CALLS = {
    "Artifact": ("CreateArtifact", "FinalizeArtifact", "ListArtifacts", "GetSignedArtifactURL", "DeleteArtifact"),
    "Cache": ("CreateCacheEntry", "FinalizeCacheEntryUpload", "GetCacheEntryDownloadURL"),
}
FORBIDDEN = re.compile(r'[":<>|*?\r\n\\/]')
ZIP = "application/zip"
BLOCKS = re.compile(rb"<(?:Latest|Uncommitted|Committed)>([^<]+)<")

Answer = tuple[int, Mapping[str, str], bytes]


@dataclass
class Blob:
    """What is uploaded once, at an address that only its signature opens."""

    path: Path
    name: str
    mime: str
    number: int
    job: str = ""
    signature: str = field(default_factory=lambda: secrets.token_hex(16))
    blocks: dict[bytes, bytes] = field(default_factory=dict)
    final: bool = False
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def digest(self) -> str:
        with self.path.open("rb") as content:
            return f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else -1


@dataclass
class Served:
    """What belongs to a run."""

    number: str
    token: str  # its GITHUB_TOKEN
    repository: Path  # bare
    store: Path  # of artifacts, a folder each
    artifacts: dict[str, Blob] = field(default_factory=dict)


class Services:
    """GitHub's services for the runs of a rehearsal. A context manager."""

    def __init__(self, work: Path, repository: str) -> None:
        from werkzeug.serving import WSGIRequestHandler, make_server

        quiet = type("Quiet", (WSGIRequestHandler,), {"log_request": lambda *_: None})
        self.work, self.repository = work, repository
        work.mkdir()
        self.secret = secrets.token_bytes(32)
        self.runs: dict[str, Served] = {}
        self.jobs: dict[str, tuple[Served, str]] = {}  # runtime token -> the run and the job that it was given to
        self.numbers = count(1)
        self.blobs: dict[str, Blob] = {}
        self.caches: dict[tuple[str, str], Blob] = {}  # version and key, the oldest first
        self.lock = threading.RLock()
        self.make_server = partial(make_server, "127.0.0.1", 0, self.serve, threaded=True, request_handler=quiet)

    def __enter__(self) -> "Services":
        self.server = self.make_server()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def fork(self) -> None:
        """In a forked process: what there is so far, behind an address of its own."""
        self.server.server_close()
        self.lock = threading.RLock()
        self.__enter__()

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def begin(self, run: int, token: str, repository: Path, store: Path) -> None:
        """A run, or a further attempt of it, starts: its token, what it checks out, and its artifacts."""
        served = self.runs[str(run)] = Served(str(run), token, repository, store)
        for folder in sorted(store.iterdir()):  # what an earlier attempt left
            blob = served.artifacts[folder.name] = self.new(folder.name, ZIP)
            shutil.make_archive(str(blob.path), "zip", folder)
            blob.path = blob.path.with_name(f"{blob.path.name}.zip")
            blob.final = True

    def admit(self, run: int, job: str) -> dict[str, str]:
        """What tells a job's actions where the services are, and opens them."""
        served = self.runs[str(run)]
        claims = {"scp": f"Actions.Results:{run}:{job}", "exp": int(time.time()) + 6 * 3600}
        token = sign(claims, self.secret)
        self.jobs[token] = served, job
        return {"ACTIONS_RESULTS_URL": self.url, "ACTIONS_RUNTIME_TOKEN": token, "ACTIONS_CACHE_SERVICE_V2": "true"}

    # ---- Requests

    def serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        from werkzeug.http import HTTP_STATUS_CODES

        try:
            status, headers, body = self.answer(environ)
        except Refused as refused:
            status, headers, body = json_answer({"code": refused.code, "msg": str(refused)}, refused.status)
        start_response(
            f"{status} {HTTP_STATUS_CODES.get(status, 'Unknown')}",
            [*headers.items(), ("Content-Length", str(len(body))), ("x-ms-version", "2021-12-02")],
        )
        yield body

    def answer(self, environ: dict[str, Any]) -> Answer:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        whole = environ.get("wsgi.input_terminated") and "CONTENT_LENGTH" not in environ  # it comes in chunks
        body = environ["wsgi.input"].read(*([] if whole else [int(environ.get("CONTENT_LENGTH") or 0)]))
        if (call := TWIRP.fullmatch(path)) and method == "POST":
            scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
            if scheme.lower() != "bearer" or token not in self.jobs:
                raise Refused("unauthenticated", "invalid token", 401)
            if call[2] not in CALLS[call[1]]:
                raise Refused("bad_route", f"no handler for path {path}", 404)
            with self.lock:
                return json_answer(getattr(self, call[2])(*self.jobs[token], json.loads(body)))
        if blob := BLOB.fullmatch(path):
            return self.blob(blob[1], method, environ, body)
        if git := GIT.fullmatch(path):
            return self.git(git[1], git[2], environ, body)
        raise Refused("not_found", "Not Found", 404)

    def blob(self, number: str, method: str, environ: Mapping[str, str], body: bytes) -> Answer:
        """Azure's Put Block, Put Block List, Put Blob and Get Blob."""
        asked = {name: values[0] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
        blob = self.blobs.get(number)
        if blob is None or not hmac.compare_digest(asked.get("sig", ""), blob.signature):
            raise Refused("AuthenticationFailed", "Signature did not match", 403)
        if method == "GET":
            name = f"{blob.name}.zip" if blob.mime == ZIP else blob.name
            shown = f"attachment; filename*=UTF-8''{quote(name)}"
            return 200, {"Content-Type": blob.mime, "Content-Disposition": shown}, blob.path.read_bytes()
        if method != "PUT" or blob.final:
            raise Refused("AuthorizationPermissionMismatch", "This request is not authorized", 403)
        if asked.get("comp") == "block":
            blob.blocks[asked["blockid"].encode()] = body
        elif asked.get("comp") == "blocklist":
            names = BLOCKS.findall(body)
            if not set(names) <= set(blob.blocks):
                raise Refused("InvalidBlockList", "The specified block list is invalid", 400)
            blob.path.write_bytes(b"".join(blob.blocks[name] for name in names))
            blob.blocks.clear()
        else:
            blob.path.write_bytes(body)
        return 201, {"ETag": f'"{blob.number}"', "Last-Modified": f"{blob.created:%a, %d %b %Y %H:%M:%S} GMT"}, b""

    def git(self, name: str, path: str, environ: Mapping[str, str], body: bytes) -> Answer:
        """git's own server, for whoever holds the token of a run; to read."""
        credential = environ.get("HTTP_AUTHORIZATION", "").partition(" ")[2]
        try:
            token = base64.b64decode(credential).decode().partition(":")[2]
        except ValueError:
            token = ""
        run = next((run for run in self.runs.values() if token and token == run.token), None)
        if run is None:
            return 401, {"WWW-Authenticate": 'Basic realm="GitHub"'}, b""
        if name.lower() != self.repository.lower():
            return 404, {}, b"Repository not found."
        asked = {
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": environ.get("CONTENT_TYPE", ""),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROJECT_ROOT": str(run.repository.parent),
            "GIT_PROTOCOL": environ.get("HTTP_GIT_PROTOCOL", ""),
            "HTTP_CONTENT_ENCODING": environ.get("HTTP_CONTENT_ENCODING", ""),
            "PATH": os.environ.get("PATH", os.defpath),
            "PATH_INFO": f"/{run.repository.name}{path}",
            "QUERY_STRING": environ.get("QUERY_STRING", ""),
            "REQUEST_METHOD": environ["REQUEST_METHOD"],
        }
        done = subprocess.run(["git", "http-backend"], env=asked, input=body, capture_output=True, check=False)
        head, _, said = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        return int(headers.pop("Status", "200").split()[0]), headers, said

    # ---- Blobs

    def new(self, name: str, mime: str, job: str = "") -> Blob:
        number = next(self.numbers)
        blob = Blob(self.work / f"{number}-{secrets.token_hex(4)}", name, mime, number, job)
        self.blobs[str(number)] = blob
        return blob

    def address(self, blob: Blob) -> str:
        return f"{self.url}/dpra/blobs/{blob.number}?sig={blob.signature}"

    def finalize(self, blob: Blob | None, size: object, digest: str = "") -> Blob:
        """The upload has ended: from now on it does not change."""
        if blob is None or blob.final:
            raise Refused("not_found", "there is no upload of this name", 404)
        if blob.size != int(str(size or 0)):
            raise Refused("invalid_argument", f"{size} bytes were said, {blob.size} came", 400)
        if digest and digest != blob.digest:
            raise Refused("invalid_argument", f"the hash is {blob.digest}, not {digest}", 400)
        blob.final = True
        return blob

    # ---- ArtifactService

    def CreateArtifact(self, run: Served, job: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        name = owned(run, asked)["name"]
        if not name or FORBIDDEN.search(name):
            raise Refused("invalid_argument", f"the artifact name is not valid: {name}", 400)
        if name in run.artifacts or (run.store / name).exists():
            raise Refused("already_exists", "an artifact with this name already exists on the workflow run", 409)
        run.artifacts[name] = blob = self.new(name, asked.get("mime_type", ZIP), job)
        return {"ok": True, "signed_upload_url": self.address(blob)}

    def FinalizeArtifact(self, run: Served, _: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        name = owned(run, asked)["name"]
        blob = self.finalize(run.artifacts.get(name), asked.get("size"), asked.get("hash", ""))
        unpacked = blob.path.with_suffix(".d")
        unpacked.mkdir()
        if blob.mime == ZIP:
            with zipfile.ZipFile(blob.path) as archive:
                archive.extractall(unpacked)
        else:
            shutil.copyfile(blob.path, unpacked / name)
        shutil.move(unpacked, run.store / name)
        return {"ok": True, "artifact_id": str(blob.number)}

    def ListArtifacts(self, run: Served, _: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        owned(run, asked)
        name, number = asked.get("name_filter"), asked.get("id_filter")
        found = [
            {
                "workflow_run_backend_id": run.number,
                "workflow_job_run_backend_id": blob.job,
                "database_id": str(blob.number),
                "name": blob.name,
                "size": str(blob.size),
                "created_at": f"{blob.created:%Y-%m-%dT%H:%M:%SZ}",
                "digest": blob.digest,
            }
            for blob in run.artifacts.values()
            if blob.final and name in (None, blob.name) and number in (None, str(blob.number))
        ]
        return dict(artifacts=found)

    def GetSignedArtifactURL(self, run: Served, _: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        return {"signed_url": self.address(self.there(run, asked))}

    def DeleteArtifact(self, run: Served, _: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        blob = self.there(run, asked)
        del run.artifacts[blob.name], self.blobs[str(blob.number)]
        shutil.rmtree(run.store / blob.name)
        return {"ok": True, "artifact_id": str(blob.number)}

    def there(self, run: Served, asked: Mapping[str, Any]) -> Blob:
        blob = run.artifacts.get(owned(run, asked)["name"])
        if blob is None or not blob.final:
            raise Refused("not_found", "artifact not found", 404)
        return blob

    # ---- CacheService

    def CreateCacheEntry(self, _: Served, __: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        entry = asked["version"], asked["key"]
        if entry in self.caches:
            raise Refused("already_exists", "cache entry with the same key, version, and scope already exists", 409)
        self.caches[entry] = blob = self.new(asked["key"], "application/octet-stream")
        return {"ok": True, "signed_upload_url": self.address(blob)}

    def FinalizeCacheEntryUpload(self, _: Served, __: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        blob = self.finalize(self.caches.get((asked["version"], asked["key"])), asked.get("size_bytes"))
        return {"ok": True, "entry_id": str(blob.number)}

    def GetCacheEntryDownloadURL(self, _: Served, __: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Of the first key, or else the newest whose key begins with one of the keys."""
        there = {
            key: blob for (version, key), blob in self.caches.items() if version == asked["version"] and blob.final
        }
        for key in [asked["key"], *asked.get("restore_keys", ())]:
            found = [key] if key in there else [name for name in reversed(there) if name.startswith(key)]
            if found:
                return {"ok": True, "signed_download_url": self.address(there[found[0]]), "matched_key": found[0]}
        return {"ok": False}


def owned(run: Served, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """A job asks about its own run only."""
    if asked.get("workflow_run_backend_id") != run.number:
        raise Refused("permission_denied", "this token is of another run", 403)
    return asked


def json_answer(document: Any, status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(document).encode()
