"""Which permissions a request to AWS Control Tower needs.

Source, as cfn-lint has it:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscontroltower.html"""

from collections.abc import Iterator, Mapping
from typing import Any

from ..protocol import Problem
from .api import read

Context = dict[str, str | list[str]]


def asked(region: str, account: str, environ: Mapping[str, Any]) -> Iterator[tuple[str, str, Context]]:
    try:
        request = read(environ)
    except Problem:  # which Control Tower tells those only who may ask
        request = None
    said = request.asked.get("enabledBaselineIdentifier") if request else ""
    yield f"controltower:{request.operation.name if request else 'Unknown'}", str(said or "*"), {}
