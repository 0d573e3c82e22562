"""KMS: keys that sign, made by CloudFormation, and keys of other accounts.

Each function replaces the one of moto that its docstring begins with."""

# mypy: disable-error-code="assignment, method-assign"
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.kms.models import Key, KmsBackend, kms_backends
from moto.kms.responses import KmsResponse


def create_key(
    cls: type[Key], /, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_: Any
) -> Key:
    """Key.create_from_cloudformation_json: moto takes every key for a symmetric one."""
    properties = cloudformation_json["Properties"]
    key = kms_backends[account_id][region_name].create_key(
        policy=properties.get("KeyPolicy"),
        key_usage=properties.get("KeyUsage", "ENCRYPT_DECRYPT"),
        key_spec=properties.get("KeySpec", "SYMMETRIC_DEFAULT"),
        description=properties.get("Description"),
        tags=properties.get("Tags", []),
    )
    key.key_rotation_status = properties.get("EnableKeyRotation", False)
    key.enabled = properties.get("Enabled", True)
    return key


def backend(self: KmsResponse) -> KmsBackend:
    """KmsResponse.kms_backend: a key that is named by an ARN is in the ARN's account and region."""
    named = str(self._get_param("KeyId") or "") if self.body else ""
    if named.startswith("arn:"):
        _, _, _, region, account, _ = named.split(":", 5)
        return kms_backends[account][region]
    return kms_backends[self.current_account][self.region]


_verify = KmsBackend.verify


def verify(
    self: KmsBackend, key_id: str, message: bytes, signature: bytes, signing_algorithm: str
) -> tuple[str, bool, str]:
    """KmsBackend.verify: AWS answers a wrong signature with an error, not with false."""
    answer = _verify(self, key_id, message, signature, signing_algorithm)
    if not answer[1]:
        raise JsonRESTError("KMSInvalidSignatureException", "")
    return answer


def mend() -> None:
    """Put them in place."""
    Key.create_from_cloudformation_json = classmethod(create_key)
    KmsResponse.kms_backend = property(backend)
    KmsBackend.verify = verify
