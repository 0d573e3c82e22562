"""A release's signature, made and verified by a key in KMS, which never leaves it."""

import base64
import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aws
import release
import runner

ALGORITHM = "ECDSA_SHA_256"


@contextmanager
def _words(directory: Path, key: str, signature: bytes = b"") -> Iterator[list[str]]:
    """The options of a call about the provenance. Bytes go in by files: the CLI's versions read JSON's differently."""
    with tempfile.TemporaryDirectory(dir=runner.temp()) as folder:
        digest = Path(folder, "digest")
        digest.write_bytes(hashlib.sha256((directory / release.PROVENANCE).read_bytes()).digest())
        words = ["--key-id", key, "--message", f"fileb://{digest}", "--message-type", "DIGEST"]
        words += ["--signing-algorithm", ALGORITHM]
        if signature:
            Path(folder, "signature").write_bytes(signature)
            words += ["--signature", f"fileb://{folder}/signature"]
        yield words


def _region(key: str) -> str:
    words = key.split(":")
    if words[::2][:2] != ["arn", "kms"] or len(words) != 6:
        raise runner.Failed(f"'{key}' is not the ARN of a KMS key or alias", "error")
    return words[3]


def sign(directory: Path, key: str) -> None:
    """Sign the provenance; `key` is the ARN of a key or of its alias."""
    region = _region(key)
    with _words(directory, key) as words:
        answer = aws.call(region, "kms", "sign", *words)
    (directory / release.SIGNATURE).write_text(answer["Signature"] + "\n", encoding="ascii")


def verify(directory: Path, key: str) -> None:
    """Fail unless the provenance was signed with this key."""
    region = _region(key)
    try:
        signature = base64.b64decode((directory / release.SIGNATURE).read_text(encoding="ascii").strip(), validate=True)
    except (OSError, ValueError) as problem:
        raise runner.Failed("the release is not signed: there is no readable provenance.sig") from problem
    if not signature:
        raise runner.Failed("the release is not signed: provenance.sig is empty")
    try:
        with _words(directory, key, signature) as words:
            answer = aws.call(region, "kms", "verify", *words)
    except aws.Refused as refused:
        if refused.code == "KMSInvalidSignatureException":
            raise runner.Failed(f"the release's signature is not by {key}, or not of its provenance") from refused
        raise
    if answer.get("SignatureValid") is not True:
        raise runner.Failed(f"the release's signature is not by {key}, or not of its provenance")
