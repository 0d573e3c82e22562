"""S3 in the rehearsal's AWS refuses what S3 refuses of large files."""

import base64
import hashlib
from typing import Any

import pytest
from botocore.exceptions import ClientError
from dpra.rehearsal.mends import uploads

WHERE = {"Bucket": "store", "Key": "package.zip"}
SMALLEST = 5 * 2**20


@pytest.fixture
def s3(client: Any) -> Any:
    found = client("s3")
    found.create_bucket(Bucket="store", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return found


@pytest.fixture
def upload(s3: Any) -> Any:
    return {**WHERE, "UploadId": s3.create_multipart_upload(**WHERE, ChecksumAlgorithm="SHA256")["UploadId"]}


def refusal(code: str) -> Any:
    return pytest.raises(ClientError, match=f"\\({code}\\)")


def put(s3: Any, upload: Any, number: int, content: bytes) -> dict[str, Any]:
    checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
    said = s3.upload_part(**upload, PartNumber=number, Body=content, ChecksumSHA256=checksum)
    return {"PartNumber": number, "ETag": said["ETag"], "ChecksumSHA256": checksum}


def test_what_is_too_large_for_one_request(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert uploads.LARGEST == 5 * 2**30
    monkeypatch.setattr(uploads, "LARGEST", 3)
    s3.put_object(**WHERE, Body=b"abc")
    with refusal("EntityTooLarge"):
        s3.put_object(**WHERE, Body=b"abcd")


def test_a_part_that_is_not_what_its_checksum_says(s3: Any, upload: Any) -> None:
    other = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    with refusal("BadDigest"):
        s3.upload_part(**upload, PartNumber=1, Body=b"one", ChecksumSHA256=other)


def test_a_part_that_is_too_small_and_not_the_last(s3: Any, upload: Any) -> None:
    parts = [put(s3, upload, 1, b"1" * (SMALLEST - 1)), put(s3, upload, 2, b"2")]
    with refusal("EntityTooSmall"):
        s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


def test_an_end_that_says_no_checksum_or_another_one_or_another_size(s3: Any, upload: Any) -> None:
    one, two = put(s3, upload, 1, b"1" * SMALLEST), put(s3, upload, 2, b"2")
    for wrong, code in (
        ({"MultipartUpload": {"Parts": [one, {"PartNumber": 2, "ETag": two["ETag"]}]}}, "InvalidRequest"),
        ({"MultipartUpload": {"Parts": [one, {**two, "ChecksumSHA256": one["ChecksumSHA256"]}]}}, "InvalidPart"),
        ({"MultipartUpload": {"Parts": [one, two]}, "MpuObjectSize": SMALLEST}, "InvalidRequest"),
    ):
        with refusal(code):
            s3.complete_multipart_upload(**upload, **wrong)
    parts = {"Parts": [one, two]}
    s3.complete_multipart_upload(**upload, MultipartUpload=parts, MpuObjectSize=SMALLEST + 1, IfNoneMatch="*")
    assert s3.head_object(**WHERE)["ContentLength"] == SMALLEST + 1


def test_what_is_there_is_not_replaced(s3: Any, upload: Any) -> None:
    s3.put_object(**WHERE, Body=b"first")
    parts = [put(s3, upload, 1, b"second")]
    with refusal("PreconditionFailed"):
        s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
    s3.abort_multipart_upload(**upload)
    assert s3.get_object(**WHERE)["Body"].read() == b"first"
