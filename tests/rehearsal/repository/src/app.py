import os


def handler(event, context):
    if "fail" in event:
        raise ValueError(event["fail"])
    return {"hello": event.get("name"), "from": os.environ["ENVIRONMENT"]}
