# deploys: software
# pipelines: application
# changes: lambda:CreateAlias lambda:UpdateAlias
"""AWS Lambda: a new version of the function, and the alias goes to it, at once or step by step."""

import time
from typing import Any

import alarms
import aws
import deployment
import runner
from deployment import Change, Done, Target, polls

MARK = "dpra:"  # begins the alias' description, which says what runs


def deploy(target: Target, change: Change) -> Done:
    """Publish the release's code as a version, and shift the alias to it."""
    function, name = target.text("function"), target.text("alias", "live")
    now, alias = configuration(target), describe(target)
    if now.get("State") == "Pending" or now.get("LastUpdateStatus") == "InProgress":
        raise runner.Failed(f"the function {function} is being changed: wait for its end and run again", "error")
    if shifting := weights(alias):
        version, weight = next(iter(shifting.items()))
        raise runner.Failed(
            f"the alias {name} of {function} is in a traffic shift: {weight:.0%} go to version {version}."
            " Wait for the end of that deployment; if it died: aws lambda update-alias"
            f" --function-name {function} --name {name} --routing-config AdditionalVersionWeights={{}}",
            "error",
        )
    code = (
        {"ImageUri": change.image}
        if change.image
        else {"S3Bucket": target.bucket, "S3Key": deployment.store_package(target, change)}
    )
    tried = aws.call(target.region, "lambda", "update-function-code", FunctionName=function, **code, DryRun=True)
    planned = steps(target) if alias and not change.at_once else []
    path = " then ".join(f"{step}%" for step in [*planned, 100])
    rows = [
        ("code", str(now.get("CodeSha256", "-")), str(tried.get("CodeSha256", "-"))),
        (f"alias {name}", deployed_digest(alias) or "-", f"{change.digest[:12]}, {path}"),
    ]
    deployment.show(function, ("what", "now", "then"), rows)
    started = deployment.timestamp()
    change.before()
    aws.call(target.region, "lambda", "update-function-code", FunctionName=function, **code)
    updated = ready(target)
    about = {"Description": f"{MARK}{change.digest}"[:256], "CodeSha256": updated["CodeSha256"]}
    version = aws.call(target.region, "lambda", "publish-version", FunctionName=function, **about)["Version"]
    ready(target, version)
    mark = f"{MARK}{change.digest} {change.commit}"
    if not alias:
        made = aws.call(
            *(target.region, "lambda", "create-alias"),
            FunctionName=function, Name=name, FunctionVersion=version, Description=mark,
        )  # fmt: skip
    else:
        made = shift(target, change, alias, version, planned, mark)
    outputs = {"FunctionArn": made["AliasArn"], "FunctionVersion": version}
    return Done(made["AliasArn"], started, outputs | ({"Url": url} if (url := target.text("url")) else {}))


def settled(target: Target) -> None:
    """Lambda ends an update by itself; the shift of an alias that a lost runner left is ended here."""
    ready(target)
    alias = describe(target)
    if weights(alias):
        update_alias(target, alias["FunctionVersion"])
        version = alias["FunctionVersion"]
        runner.warning(f"a run that died left the alias in a traffic shift; all calls go to version {version} now")


def running(target: Target) -> str:
    alias = describe(target)
    return "" if weights(alias) else deployed_digest(alias)


def configuration(target: Target, **of: str) -> dict[str, Any]:
    try:
        return aws.call(
            target.region, "lambda", "get-function-configuration", FunctionName=target.text("function"), **of
        )
    except aws.Refused as refused:
        if refused.code == "ResourceNotFoundException":
            raise runner.Failed(
                f"there is no function {target.text('function')}: create it first, this tool only deploys to it",
                "error",
            ) from refused
        raise


def describe(target: Target) -> dict[str, Any]:
    """The alias; empty where there is none yet."""
    asked = {"FunctionName": target.text("function"), "Name": target.text("alias", "live")}
    try:
        return aws.call(target.region, "lambda", "get-alias", **asked)
    except aws.Refused as refused:
        if refused.code == "ResourceNotFoundException":
            return {}
        raise


def weights(alias: dict[str, Any]) -> dict[str, float]:
    found: dict[str, float] = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return found


def deployed_digest(alias: dict[str, Any]) -> str:
    """The digest of what the alias' main version is."""
    description = str(alias.get("Description", ""))
    return description.removeprefix(MARK).partition(" ")[0] if description.startswith(MARK) else ""


def steps(target: Target) -> list[int]:
    """What the new version gets of the calls, in percent, before it gets all of them."""
    percent, strategy = int(target.settings.get("percent", 10)), target.settings.get("strategy")
    if strategy == "canary":
        return [percent]
    return list(range(percent, 100, percent)) if strategy == "linear" else []


def ready(target: Target, version: str = "") -> dict[str, Any]:
    """The function, or one of its versions, once it can be called."""
    for _ in polls():
        now = configuration(target, **({"Qualifier": version} if version else {}))
        if now.get("State") != "Pending" and now.get("LastUpdateStatus") != "InProgress":
            if "Failed" in (now.get("State"), now.get("LastUpdateStatus")):
                reason = now.get("LastUpdateStatusReason") or now.get("StateReason", "")
                raise runner.Failed(f"the function {target.text('function')} cannot run the release: {reason}")
            return now
    raise AssertionError("polls has no end")


def shift(
    target: Target, change: Change, alias: dict[str, Any], version: str, planned: list[int], mark: str
) -> dict[str, Any]:
    """Send more and more of the calls to the version, as long as no alarm fires; else all go back to the one before."""
    before = alias["FunctionVersion"]
    try:
        for percent in planned if version != before else ():
            update_alias(target, before, {version: percent / 100})
            runner.say(f"{percent}% of the calls go to version {version}")
            time.sleep(60 * int(target.settings.get("pause", 5)))
            check_alarms(target, change)
        made = update_alias(target, version, {}, mark)
        runner.say(f"all calls go to version {version}")
    except BaseException:
        update_alias(target, before)
        runner.say(f"all calls go to version {before} again")
        raise
    return made


def update_alias(
    target: Target, version: str, others: dict[str, float] | None = None, description: str | None = None
) -> dict[str, Any]:
    about: dict[str, Any] = {"FunctionName": target.text("function"), "Name": target.text("alias", "live")}
    about |= {"FunctionVersion": version, "RoutingConfig": {"AdditionalVersionWeights": others or {}}}
    if description is not None:
        about["Description"] = description
    return aws.call(target.region, "lambda", "update-alias", **about)


def check_alarms(target: Target, change: Change) -> None:
    """Fail where an alarm fires, or is gone."""
    states = alarms.states(target.region, deployment.alarm_names(change)) if change.triggers else {}
    if bad := {name: state for name, state in states.items() if state in ("ALARM", "missing")}:
        problem = ", ".join(f"{name}: {alarms.MEANING[state]}" for name, state in bad.items())
        raise runner.Failed(f"the traffic shift is rolled back: {problem}")
