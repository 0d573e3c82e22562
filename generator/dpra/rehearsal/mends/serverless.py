"""AWS SAM: the transform, which moto does not have, done by AWS's own translator."""

import json
from typing import Any

from moto.cloudformation.exceptions import ValidationError

TRANSFORM = "AWS::Serverless-2016-10-31"


def is_serverless(template: dict[str, Any]) -> bool:
    transforms = template.get("Transform") or []
    return TRANSFORM in ([transforms] if isinstance(transforms, str) else transforms)


def expanded(template: dict[str, Any], parameters: dict[str, str], region: str) -> str:
    """The template as CloudFormation goes on with it.

    Raises:
        ValidationError: it is no SAM template.
    """
    from boto3.session import Session
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    # No managed policy is named without its ARN here: the translator would ask IAM for it.
    translator = Translator({}, Parser(), boto_session=Session(region_name=region))
    try:
        return json.dumps(translator.translate(template, parameters))
    except InvalidDocumentException as invalid:
        said = " ".join(cause.message for cause in invalid.causes)
        raise ValidationError(
            message=f"Transform {TRANSFORM} failed with: Invalid Serverless Application. {said}"
        ) from None
