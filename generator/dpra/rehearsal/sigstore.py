"""GitHub's Sigstore instance, as private repositories use it: it certifies which job signs, and when.

The GitHub CLI itself verifies what is signed here; only the root that it trusts is the rehearsal's."""

import base64
import json
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from .act import tools
from .result import RehearsalError

SERVER = "https://github.com"
ORGANIZATION = "GitHub, Inc."  # by this the CLI knows which of its rules hold
PAYLOAD = "application/vnd.in-toto+json"
# What the timestamp authority needs; {0} is its folder.
OPENSSL = """[tsa]
default_tsa = here
[here]
serial = {0}/serial
signer_cert = {0}/tsa.pem
signer_key = {0}/tsa.key
signer_digest = sha256
certs = {0}/root.pem
default_policy = 1.2.3.4
digests = sha256
ess_cert_id_alg = sha256
"""
# The GitHub CLI with the rehearsal's root, put into the jobs' PATH.
CALLER = """#!/bin/sh
[ "$1 $2" = "attestation verify" ] && set -- "$@" --custom-trusted-root {root}
exec {gh} "$@"
"""


class Sigstore:
    """Certificates of one run."""

    def __init__(self) -> None:
        self.key, self.clock = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self.root = self._certificate("Root", self.key.public_key())
        self.tsa = self._certificate("Clock", self.clock.public_key(), use=ExtendedKeyUsageOID.TIME_STAMPING)

    def install(self, folder: Path) -> None:
        """Put a `gh` that trusts this instance into the folder; without the GitHub CLI, do nothing."""
        if not (gh := shutil.which("gh", path=tools())):
            return
        root = folder / "trusted_root.jsonl"
        root.write_text(json.dumps(self._trusted_root()) + "\n", encoding="utf-8")
        (folder / "gh").write_text(CALLER.format(root=shlex.quote(str(root)), gh=shlex.quote(gh)), encoding="utf-8")
        (folder / "gh").chmod(0o755)

    def attest(self, claims: Mapping[str, Any], statement: Mapping[str, Any]) -> dict[str, Any]:
        """A Sigstore bundle: the statement, signed by a key that the bearer of the claims used once."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate("", key.public_key(), use=ExtendedKeyUsageOID.CODE_SIGNING, claims=claims)
        payload = json.dumps(statement).encode()
        signed = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD.encode(), len(payload), payload)
        signature = key.sign(signed, ec.ECDSA(hashes.SHA256()))
        return {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": _raw(certificate),
                "timestampVerificationData": {"rfc3161Timestamps": [{"signedTimestamp": _text(self._now(signature))}]},
            },
            "dsseEnvelope": {
                "payload": _text(payload),
                "payloadType": PAYLOAD,
                "signatures": [{"sig": _text(signature)}],
            },
        }

    def _certificate(
        self, name: str, key: Any, *, use: Any = None, claims: Mapping[str, Any] | None = None
    ) -> x509.Certificate:
        """The root, the clock's, or a job's, which lives ten minutes and says in its extensions what the job is."""
        now, root = datetime.now(UTC), use is None
        made = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name("Root"))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=1))
            .not_valid_after(now + timedelta(days=1 if name else 1 / 144))
            .add_extension(x509.BasicConstraints(root, None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .add_extension(x509.KeyUsage(not root, False, False, False, False, root, root, False, False), critical=True)
        )
        if use:
            time = use == ExtendedKeyUsageOID.TIME_STAMPING
            made = made.add_extension(x509.ExtendedKeyUsage([use]), critical=time)
        if claims:
            signer = x509.UniformResourceIdentifier(f"{SERVER}/{claims['job_workflow_ref']}")
            made = made.add_extension(x509.SubjectAlternativeName([signer]), critical=True)
            for number, value in _said(claims).items():
                oid = ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{number}")
                made = made.add_extension(x509.UnrecognizedExtension(oid, _utf8(value)), critical=False)
        return made.sign(self.key, hashes.SHA256())

    def _now(self, data: bytes) -> bytes:
        """A timestamp of RFC 3161 on the data."""
        private = self.clock.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "tsa.key").write_bytes(private)
            for file, certificate in (("tsa.pem", self.tsa), ("root.pem", self.root)):
                (folder / file).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
            (folder / "serial").write_text("01\n")
            (folder / "config").write_text(OPENSSL.format(name))
            (folder / "data").write_bytes(data)
            query = ["-query", "-data", "data", "-sha256", "-cert", "-out", "query"]
            for words in (query, ["-reply", "-config", "config", "-queryfile", "query", "-out", "reply"]):
                try:
                    subprocess.run(["openssl", "ts", *words], cwd=folder, check=True, capture_output=True)
                except (OSError, subprocess.CalledProcessError) as problem:
                    raise RehearsalError(f"openssl cannot make a timestamp: {problem}") from problem
            return (folder / "reply").read_bytes()

    def _trusted_root(self) -> dict[str, Any]:
        def authority(*certificates: x509.Certificate) -> dict[str, Any]:
            return {
                "subject": {"organization": ORGANIZATION},
                "certChain": {"certificates": [_raw(one) for one in certificates]},
                "validFor": {"start": f"{self.root.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"},
            }

        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "certificateAuthorities": [authority(self.root)],
            "timestampAuthorities": [authority(self.tsa, self.root)],
        }


def _name(common: str) -> x509.Name:
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION)
    return x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else [])


def _said(claims: Mapping[str, Any]) -> dict[int, str]:
    """What a certificate says of a job (https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md)."""
    repository = f"{SERVER}/{claims['repository']}"
    return {
        8: claims["iss"],
        9: f"{SERVER}/{claims['job_workflow_ref']}",
        10: claims["job_workflow_sha"],
        11: claims["runner_environment"],
        12: repository,
        13: claims["sha"],
        14: claims["ref"],
        15: claims["repository_id"],
        16: f"{SERVER}/{claims['repository_owner']}",
        17: claims["repository_owner_id"],
        18: f"{SERVER}/{claims['workflow_ref']}",
        19: claims["workflow_sha"],
        20: claims["event_name"],
        21: f"{repository}/actions/runs/{claims['run_id']}/attempts/{claims['run_attempt']}",
        22: claims["repository_visibility"],
    }


def _utf8(text: str) -> bytes:
    """A UTF8String in DER."""
    data = text.encode()
    size = len(data).to_bytes(2, "big").lstrip(b"\0")
    return b"\x0c" + (size if len(data) < 0x80 else bytes([0x80 | len(size)]) + size) + data


def _raw(certificate: x509.Certificate) -> dict[str, str]:
    return {"rawBytes": _text(certificate.public_bytes(serialization.Encoding.DER))}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
