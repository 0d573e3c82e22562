# deploys: stacks
# pipelines: dynamic-configuration
# default-for: dynamic-configuration
# can: drift switch-off
# needs: cloudformation
# template: infrastructure/template.yml
# execution-role: cloudformation
# infrastructure: cloudformation
# changes: appconfig:StartDeployment appconfig:StopDeployment
"""AWS AppConfig: the stack, then each profile's compiled document, one after another, by the stack's own strategy.

Its contract with AppConfig: https://docs.aws.amazon.com/appconfig/2019-10-09/APIReference/API_StartDeployment.html and
https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-deploying-reverting.html; one deployment at a time is
possible in an environment.
"""

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

import appconfig
import aws
import deployment
import monitors
import runner
from appconfig import EMERGENCY, FLAGS, MARK, MONITOR, OFF, RELEASED, VERSION, Document, Place, tag, untag
from deployers import cloudformation
from deployment import Change, Done, Target

AT_ONCE = "AppConfig.AllAtOnce"  # AWS's own strategy: at once, and ten minutes of bake
LONGEST = 290  # minutes that a job can wait
MOST_ROWS = 500  # of a difference that are shown
STOPPABLE = ("DEPLOYING", "BAKING", "VALIDATING")
TRIES = 5  # of an emergency, between which others deploy; of a rollback, between which there are emergencies
FLAG = re.compile(r"[a-z][a-zA-Z0-9_-]{0,63}", re.ASCII)


class OvertakenError(runner.Failed):
    """Somebody else was faster: what was looked at is not there any more."""


def deploy(target: Target, change: Change) -> Done:
    """Make the stack what the template says, and its configuration what the release says.

    Configuration goes out after the stack, and goes back before it. What an emergency takes back of a rollback goes
    back again."""
    if not change.back:
        return make(target, change)
    for left in reversed(range(TRIES)):
        before = appconfig.look(target)
        try:
            return make(target, change)
        except runner.Failed as problem:
            if not left:
                raise
            settled(target)
            if not emergency_since(target, before):
                raise
            runner.warning(f"{problem}. There was an emergency: the rollback goes on", title=target.component)
    raise AssertionError("the last try returns or raises")


def make(target: Target, change: Change) -> Done:
    own = appconfig.documents(change.release, target.environment)
    place = appconfig.look(target)
    if place:
        monitors.put_on(place, place.tags)
        refuse_others(place, change)
    offs = place.offs if place else {}
    wanted = [appconfig.switched_off(one, offs) for one in own]
    for flag in still_on(own, offs):
        runner.warning(
            f"{flag} stays off: run {offs[flag]} switched it off. Say so in its definition, too; then this ends",
            title=target.component,
        )
    kind = cloudformation.change_set_type(target.region, target.stack)
    offered = cloudformation.package_parameters(target, change)
    body = {"TemplateBody": (change.release / "template.yml").read_text(encoding="utf-8")}
    planned = cloudformation.plan(target, change, target.stack, kind, body, offered)
    show(place, wanted)
    if place and place.strategies:
        check_time(strategy(place, change.at_once)[1], [one for one in wanted if not place.has(one)])
    started = deployment.timestamp()
    change.before()
    mark = f"{MARK}{change.digest} {change.commit}"
    if place and RELEASED in place.tags:
        untag(place, [RELEASED])  # until the end nobody can say which release it is
    if place and change.back:
        put_back(place, wanted, mark)
    stack = cloudformation.execute(target.region, target.stack, planned)
    before, place = place, remade(target, place)
    if before and before.arn == place.arn and before.latest != place.latest and not change.back:
        about = appconfig.described(place, place.latest)
        raise OvertakenError(f"meanwhile there was another deployment, nothing is overrun: {appconfig.told(about)}")
    offs = place.offs  # perhaps there is an emergency meanwhile
    wanted = [appconfig.switched_off(one, offs) for one in own]
    last = bring(place, wanted, change, mark)
    if late := still_on(wanted, appconfig.tagged(place).offs):
        raise OvertakenError(f"meanwhile an emergency switched {', '.join(late)} off, which this release turns on")
    tag(place, {RELEASED: f"{change.digest}/{change.commit}"})
    if ended := [] if change.back else sorted(offs.keys() - {*still_on(own, offs)}):
        untag(place, [f"{OFF}{flag}" for flag in ended])
        runner.say(f"off by the release itself from now on: {', '.join(ended)}")
    if gone := [key for key in place.tags if key.startswith(VERSION) and key[len(VERSION) :] not in place.profiles]:
        untag(place, gone)
    where = f"{place.arn}/deployment/{last}" if last else planned.change_set
    return Done(where, started, cloudformation.outputs(stack) | outputs(place))


def settled(target: Target) -> None:
    """What a release of dpra left in progress is taken back; all others, also an emergency, are waited for."""
    cloudformation.settled(target)
    place = appconfig.look(target)
    if not place:
        return
    monitors.put_on(place, place.tags)
    for one in place.under_way:
        number = int(one["DeploymentNumber"])
        about = appconfig.described(place, number)
        if is_release(about.get("Description", "")) and about["State"] in STOPPABLE:
            runner.warning(f"{appconfig.told(about)}: a run that died left it; it is taken back")
            appconfig.stop(place, number)
        else:
            runner.say(f"waiting for the end: {appconfig.told(about)}")
            appconfig.ended(place, number)


def running(target: Target) -> str:
    place = appconfig.look(target)
    if not place or place.under_way:
        return ""
    same = all(place.deployed(profile) == place.remembered(profile) for profile in place.profiles)
    return place.tags.get(RELEASED, "").partition("/")[0] if same else ""


def drift(target: Target) -> list[appconfig.Row]:
    """What somebody else changed: profile, key, the value that dpra deployed, the value that is deployed."""
    place = appconfig.look(target)
    return appconfig.drift(place) if place else []


def switch_off(target: Target, change: Change, flag: str) -> bool:
    """Switch a flag off in what runs there, for everybody and at once; whether what runs there has it.

    It stays off, also in releases to come, until one says so itself."""
    if not FLAG.fullmatch(flag):
        raise runner.Failed(f"'{flag}' is no flag: a letter, then letters, digits, _ and -, at most 64", "error")
    own = appconfig.documents(change.release, target.environment)
    place = known(target)
    monitors.put_on(place, place.tags)
    forgotten = flag not in place.offs and not remember(place, flag)
    bringing = any(appconfig.has_flag(place, one, flag) for one in place.under_way)
    holding = [one for one in own if flag in one.flags or (one.kind == FLAGS and stands(place, one.profile, flag))]
    if bringing and not holding:  # by its first release of flags
        with suppress(OvertakenError):
            make_way(place)
    for document in holding:
        for left in reversed(range(TRIES)):
            try:
                switch(place, document, flag)
                break
            except OvertakenError:
                if not left:
                    raise
                place = known(target)
    if forgotten:
        raise runner.Failed(
            f"{flag} is off, but the environment takes no tag more that remembers it, so the next release turns it on "
            "again: say in its definition that it is off, before that"
        )
    return bool(holding) or bringing


def remember(place: Place, flag: str) -> bool:
    """Whether a tag says that the flag is to be off; AppConfig takes 50."""
    try:
        tag(place, {f"{OFF}{flag}": f"{os.environ['GITHUB_RUN_ID']}/{deployment.timestamp()}"})
    except aws.Refused as refused:
        if refused.code != "BadRequestException":
            raise
        runner.warning(f"{flag} cannot be remembered: {refused}")
        return False
    return True


def stands(place: Place, profile: str, flag: str) -> bool:
    """Whether what is deployed, or being deployed, in this profile has the flag, whatever release brought it."""
    there = [*place.completed(profile)[:1], *(one for one in place.under_way if place.of(one) == profile)]
    return any(appconfig.has_flag(place, one, flag) for one in there)


def make_way(place: Place) -> None:
    """Have what is being deployed end: a release of dpra is taken back.

    Raises:
        OvertakenError: there was something; it has ended.
        runner.Failed: it is not dpra's.
    """
    for one in place.under_way:
        about = appconfig.described(place, one["DeploymentNumber"])
        said = about.get("Description", "")
        if about["State"] not in appconfig.UNDER_WAY:
            continue
        if is_release(said):
            runner.warning(f"{appconfig.told(about)}: it is taken back, its release fails")
            appconfig.stop(place, one["DeploymentNumber"])
        elif said.startswith(EMERGENCY):
            appconfig.ended(place, one["DeploymentNumber"])
        else:
            raise runner.Failed(
                f"{appconfig.told(about)}: it is not dpra's. Wait for its end, or end it: {stop_by_hand(place, one)}"
            )
    if place.under_way:
        raise OvertakenError("a deployment was in progress: look again")


def switch(place: Place, document: Document, flag: str) -> None:
    """Deploy the document with everything off that is to be off, unless it is deployed."""
    make_way(place)
    off = appconfig.switched_off(document, {*place.offs, flag})
    number = place.deployed(off.profile)
    if not place.has(off):
        show(place, [off])
        number = store_version(place, off)
        how = strategy(place, at_once=True)[0]
        with monitors.aside(place):
            start(place, off, number, how, f"{EMERGENCY}{flag} run {os.environ['GITHUB_RUN_ID']}", place.latest)
    tag(place, {f"{VERSION}{off.profile}": f"{number}/{off.label}"})


# ---- Before anything is changed


def refuse_others(place: Place, change: Change) -> None:
    """Fail where something else is being deployed, or where somebody changed what dpra deployed."""
    for one in place.under_way:
        about = appconfig.described(place, one["DeploymentNumber"])
        raise runner.Failed(
            f"{appconfig.told(about)}: wait for its end and run again, or end it: {stop_by_hand(place, one)}", "error"
        )
    if not (rows := appconfig.drift(place)):
        return
    deployment.show("drift", ("profile", "what", "as dpra deployed it", "as it is deployed"), rows[:MOST_ROWS])
    problem = f"somebody else changed {', '.join(dict.fromkeys(row[0] for row in rows))} in {place.region}"
    if change.back or change.override:
        why = change.override or "rollback"
        runner.warning(f"{problem}; override: {why}. This release replaces that", title="drift")
        return
    told = "; ".join(f"{profile} {key}: {ours} is {theirs}" for profile, key, ours, theirs in rows[:3])
    back = [f"{profile} {place.remembered(profile)}" for profile in dict.fromkeys(row[0] for row in rows)]
    raise runner.Failed(
        f"{problem}: {told}{' ...' if len(rows) > 3 else ''}. Bring it into the repository and run by hand with that "
        f"as the reason, or deploy the version again that dpra deployed ({', '.join(back)})"
    )


def stop_by_hand(place: Place, one: appconfig.Deployment) -> str:
    return (
        f"aws appconfig stop-deployment --region {place.region} --application-id {place.application} "
        f"--environment-id {place.environment} --deployment-number {one['DeploymentNumber']}"
    )


def show(place: Place | None, wanted: Sequence[Document]) -> None:
    """The effective difference: what is deployed against what will be, key by key."""
    rows: list[appconfig.Row] = []
    for one in wanted:
        if not place or one.profile not in place.profiles:
            rows += appconfig.differences(one.profile, b"", one.content)
        elif not place.has(one):
            there = appconfig.stored(place, one.profile, place.deployed(one.profile))
            rows += appconfig.differences(one.profile, there, one.content)
    deployment.show("configuration", ("profile", "what", "now", "then"), rows[:MOST_ROWS])
    if len(rows) > MOST_ROWS:
        runner.say(f"and {len(rows) - MOST_ROWS} more")


def strategy(place: Place, at_once: bool) -> tuple[str, int]:
    """The strategy's id, and how many minutes a deployment takes by it.

    Raises:
        runner.Failed: the template has none, or several by which a release could go out.
    """
    gradual: dict[str, int] = {}
    instant: list[str] = []
    for name in place.strategies:
        if minutes := lasts(place.region, name):
            gradual[name] = minutes
        else:
            instant.append(name)
    if at_once:
        return (instant[0], 0) if instant else (AT_ONCE, 10)
    if len(gradual) == 1:
        return next(iter(gradual.items()))
    if not gradual and instant:
        return instant[0], 0
    raise runner.Failed(
        f"the stack has {len(gradual)} deployment strategies with a duration or a bake: its template must make one by "
        "which releases are deployed",
        "error",
    )


def lasts(region: str, name: str) -> int:
    """How many minutes a strategy takes, with its bake."""
    found = aws.call(region, "appconfig", "get-deployment-strategy", DeploymentStrategyId=name)
    return int(found["DeploymentDurationInMinutes"] + found.get("FinalBakeTimeInMinutes", 0))


def check_time(minutes: int, changed: Sequence[Document]) -> None:
    """Fail where a job could not wait for the end of all deployments."""
    if minutes * len(changed) > LONGEST:
        raise runner.Failed(
            f"{len(changed)} profiles of {minutes} minutes each take {minutes * len(changed)} minutes, and a job waits "
            f"for {LONGEST}: change fewer profiles at once, or make the strategy's duration and bake shorter",
            "error",
        )


# ---- Changes


def known(target: Target) -> Place:
    if place := appconfig.look(target):
        return place
    raise runner.Failed(
        f"the stack {target.stack} has no AWS::AppConfig::Application and no AWS::AppConfig::Environment", "error"
    )


def remade(target: Target, before: Place | None) -> Place:
    """What the stack has after its change; what CloudFormation took of dpra's tags is there again."""
    place = known(target)
    kept = (VERSION, OFF, MONITOR) if before and before.arn == place.arn else (OFF,)
    tags = before.tags if before else {}
    if lost := {key: said for key, said in tags.items() if key.startswith(kept) and key not in place.tags}:
        tag(place, lost)
    return place


def bring(place: Place, wanted: Sequence[Document], change: Change, mark: str) -> int:
    """Deploy what is not deployed yet, in order; the number of the last deployment, 0 where there was none."""
    for one in wanted:
        if one.profile not in place.profiles:
            raise runner.Failed(
                f"the template makes no AWS::AppConfig::ConfigurationProfile with the name {one.profile}: add it, or "
                "take it out of the configuration"
            )
    changed = [one for one in wanted if not place.has(one)]
    last = 0
    if changed:
        how, minutes = strategy(place, change.at_once)
        check_time(minutes, changed)
        versions = [store_version(place, one) for one in changed]  # all are valid before the first goes out
        for one, number in zip(changed, versions, strict=True):
            with monitors.aside(place) if change.at_once or change.override else nullcontext():
                last = start(place, one, number, how, mark, last or place.latest)
            tag(place, {f"{VERSION}{one.profile}": f"{number}/{one.label}"})
    standing = {f"{VERSION}{one.profile}": f"{place.deployed(one.profile)}/{one.label}" for one in wanted}
    tags = {f"{VERSION}{one.profile}" for one in changed}
    if missing := {key: said for key, said in standing.items() if key not in tags and place.tags.get(key) != said}:
        tag(place, missing)
    return last


def put_back(place: Place, wanted: Sequence[Document], mark: str) -> None:
    """Bring the profiles that are there back to these documents, the one that was deployed last first.

    AppConfig itself takes back what it deployed in the last 72 hours, and ignores alarms in doing so; else the earlier
    version is deployed again, at once. What the validators of now refuse waits for the stack."""

    def newest(one: Document) -> int:
        found = place.completed(one.profile)
        return -int(found[0]["DeploymentNumber"]) if found else 0

    latest = place.latest
    for one in sorted((one for one in wanted if one.profile in place.profiles), key=newest):
        if place.has(one):
            continue
        standing = place.completed(one.profile)
        if len(standing) > 1 and standing[1].get("VersionLabel") == one.label and revert(place, standing[0]):
            tag(place, {f"{VERSION}{one.profile}": f"{standing[1]['ConfigurationVersion']}/{one.label}"})
            continue
        try:
            number = store_version(place, one)
            with monitors.aside(place):
                latest = start(place, one, number, strategy(place, at_once=True)[0], mark, latest)
        except aws.Refused as refused:
            if refused.code != "BadRequestException":
                raise
            runner.say(f"{one.profile} goes back after the stack: {refused}")
            continue
        tag(place, {f"{VERSION}{one.profile}": f"{number}/{one.label}"})


def revert(place: Place, standing: appconfig.Deployment) -> bool:
    """Whether AppConfig took the deployment back; it does in the 72 hours after its end."""
    number = int(standing["DeploymentNumber"])
    try:
        state = appconfig.stop(place, number)["State"]
    except aws.Refused as refused:
        if refused.code != "BadRequestException":
            raise
        runner.say(f"deployment {number} cannot be reverted any more, the earlier version is deployed again: {refused}")
        return False
    return bool(state == "REVERTED")


def store_version(place: Place, document: Document) -> str:
    """The number of the document's version, which is made where there is none yet, and valid.

    Raises:
        OvertakenError: somebody else made a version meanwhile.
        aws.Refused: a validator of the profile refuses it.
    """
    about = {"ApplicationId": place.application, "ConfigurationProfileId": place.profiles[document.profile]}
    listed = aws.call(place.region, "appconfig", "list-hosted-configuration-versions", **about).get("Items", [])
    number = next((one["VersionNumber"] for one in listed if one.get("VersionLabel") == document.label), 0)
    if not number:
        latest = max((int(one["VersionNumber"]) for one in listed), default=0)
        fence = ("--latest-version-number", str(latest)) if latest else ()
        with tempfile.TemporaryDirectory(dir=runner.temp()) as folder:
            path = Path(folder, "content")
            path.write_bytes(document.content)
            words = (*place.words(document.profile), "--content-type", document.content_type, *fence)
            words += ("--version-label", document.label, "--content", f"fileb://{path}", f"{path}-stored")
            try:
                made = aws.call(place.region, "appconfig", "create-hosted-configuration-version", *words)
            except aws.Refused as refused:
                raise_overtaken(refused, f"another version of {document.profile} was made")
                raise
        number = made["VersionNumber"]
    try:
        aws.call(place.region, "appconfig", "validate-configuration", **about, ConfigurationVersion=str(number))
    except aws.Refused as refused:
        refused.args = (f"version {number} of {document.profile}: {refused}",)
        raise
    return str(number)


def start(place: Place, document: Document, number: str, how: str, mark: str, latest: int) -> int:
    """Deploy a version and wait for its end; the deployment's number.

    Args:
        latest: the number of the latest deployment that is known.

    Raises:
        OvertakenError: there is a later one.
        runner.Failed: AppConfig took it back.
    """
    fence = {"LatestDeploymentNumber": latest} if latest else {}
    try:
        made = aws.call(
            *(place.region, "appconfig", "start-deployment"),
            **place.ids,
            ConfigurationProfileId=place.profiles[document.profile],
            ConfigurationVersion=number,
            DeploymentStrategyId=how,
            Description=mark,
            **fence,
        )
    except aws.Refused as refused:
        raise_overtaken(refused, f"another deployment came between the look and the start of {document.profile}")
        raise
    done = appconfig.ended(place, int(made["DeploymentNumber"]))
    if done["State"] != "COMPLETE":
        raise runner.Failed(
            f"the deployment {made['DeploymentNumber']} of {document.profile} is {done['State']}: "
            f"{appconfig.reason(done)}"
        )
    return int(made["DeploymentNumber"])


def raise_overtaken(refused: aws.Refused, what: str) -> None:
    if refused.code == "ConflictException":
        raise OvertakenError(f"{what}: nothing of it is overrun. Wait for its end and run again ({refused})", "error")


# ---- Words


def is_release(description: str) -> bool:
    """Whether a release of dpra says so of itself, not an emergency."""
    return description.startswith(MARK) and not description.startswith(EMERGENCY)


def emergency_since(target: Target, before: Place | None) -> bool:
    """Whether a flag was switched off since that look."""
    now = appconfig.look(target)
    if not now or not before or now.arn != before.arn:
        return False
    new = [one["DeploymentNumber"] for one in now.deployments if one["DeploymentNumber"] > before.latest]
    said = (str(appconfig.described(now, number).get("Description", "")) for number in new)
    return bool(now.offs.keys() - before.offs) or any(one.startswith(EMERGENCY) for one in said)


def still_on(documents: Sequence[Document], offs: Mapping[str, str]) -> list[str]:
    """The flags that are to be off, and that the documents turn on for somebody."""
    flags = {flag: value for one in documents for flag, value in one.flags.items() if flag in offs}
    return [flag for flag, value in flags.items() if not appconfig.is_off(value)]


def outputs(place: Place) -> dict[str, str]:
    """What tests find the configuration by, with appconfigdata or the agent: names and ids."""
    application = aws.call(place.region, "appconfig", "get-application", ApplicationId=place.application)["Name"]
    environment = aws.call(place.region, "appconfig", "get-environment", **place.ids)["Name"]
    found = {"Application": application, "ApplicationId": place.application}
    found |= {"Environment": environment, "EnvironmentId": place.environment}
    for name, own in place.profiles.items():
        key = "Profile" + "".join(word.capitalize() for word in re.split(r"[^a-zA-Z0-9]+", name))
        found |= {key: name, f"{key}Id": own}
    return found
