"""S3: what it does not take in one request, and parts that are not what their checksum says.

Each function replaces the one of moto that its docstring begins with.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html"""

# mypy: disable-error-code="method-assign"
import base64
import hashlib
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from moto.s3.exceptions import InvalidPart, S3ClientError
from moto.s3.responses import S3Response

LARGEST = 5 * 2**30  # bytes


def put_object(self: S3Response) -> Any:
    """S3Response.put_object: moto takes what is larger, too."""
    if len(self.body or b"") > LARGEST:
        raise S3ClientError("EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size.")
    return _put_object(self)


def upload_part(self: S3Response) -> Any:
    """S3Response.upload_part: moto looks at no checksum."""
    said = self.headers.get("x-amz-checksum-sha256")
    if said and said != checksum(self.body or b""):
        raise S3ClientError("BadDigest", "The SHA256 you specified did not match the calculated checksum.")
    return _upload_part(self)


def key_response_post(
    self: S3Response, request: Any, body: bytes, bucket_name: str, query: dict[str, Any], key_name: str
) -> Any:
    """S3Response._key_response_post: moto does not hold an upload's end against what was said of its parts."""
    if query.get("uploadId"):
        upload = self.backend.get_bucket(bucket_name).multiparts.get(query["uploadId"][0])
        if upload is not None:
            held(upload, self.headers, parts(body))
    return _key_response_post(self, request, body, bucket_name, query, key_name)


def parts(body: bytes) -> dict[int, str]:
    """The parts of which an object is made, by a request: number -> SHA-256, empty where none is said."""
    found = dict[int, str]()
    for part in ElementTree.fromstring(body).iterfind("{*}Part"):  # noqa: S314
        found[int(part.findtext("{*}PartNumber", "0"))] = part.findtext("{*}ChecksumSHA256", "")
    return found


def held(upload: Any, headers: Mapping[str, str], said: Mapping[int, str]) -> None:
    there = {number: upload.parts[number].value for number in said if number in upload.parts}
    asked = upload.metadata.get("x-amz-checksum-algorithm") == "SHA256"
    for number, told in said.items():
        if asked and not told:
            raise S3ClientError("InvalidRequest", f"The checksum for part {number} is missing in the request.")
        if told and number in there and told != checksum(there[number]):
            raise InvalidPart
    size = headers.get("x-amz-mp-object-size")
    if size and int(size) != sum(map(len, there.values())):
        raise S3ClientError("InvalidRequest", "The object size is not the one that the request says.")


def checksum(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


_put_object, _upload_part, _key_response_post = (
    S3Response.put_object,
    S3Response.upload_part,
    S3Response._key_response_post,
)


def mend() -> None:
    S3Response.put_object = put_object
    S3Response.upload_part = upload_part
    S3Response._key_response_post = key_response_post
