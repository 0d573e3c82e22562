"""The flags that gates read. Other components deliver them: a rehearsal puts them there, in the state asked for."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from dpra.graph import Job
from dpra.plan import Plan
from dpra.spec.models import Gate

ON = {"on": True, "off": False}
TYPE = {"LocationUri": "hosted", "Type": "AWS.AppConfig.FeatureFlags"}


def read(plan: Plan, job: Job) -> Iterator[tuple[str, Gate]]:
    """The gates of a job: region, and the gate with its names filled in."""
    for step in job.steps:
        for gate in plan.gates_in(job, step):
            for region in job.legs:
                names = {name: getattr(gate, name).replace("{region}", region) for name in ("of", "profile")}
                yield region, replace(gate, environment=gate.environment.replace("{region}", region), **names)


def deliver(plan: Plan) -> None:
    """Let AppConfig deliver every flag that a gate reads; where two gates want another state, the first one's."""
    found: dict[tuple[str, str, str, str, str], dict[str, bool]] = {}
    for job in plan.jobs.values():
        for region, gate in read(plan, job) if job.at else ():
            place = (job.at.account if job.at else "", region, gate.of, gate.environment, gate.profile)
            found.setdefault(place, {}).setdefault(gate.flag, ON[gate.is_])
    for place, flags in found.items():
        make(*place, flags)


def make(account: str, region: str, application: str, environment: str, profile: str, flags: dict[str, bool]) -> None:
    """Make an application of AppConfig with these flags, deployed."""
    from .mends.appconfig import store as appconfig
    from .mends.appconfig.deployments import console_deploys

    store = appconfig.STORES[account][region]

    def named(things: Mapping[str, Any], create: Callable[[Any, Any], Any], name: str, **more: str) -> str:
        there = {one.said["Name"]: key for key, one in things.items()}
        return str(there.get(name) or create(store, {**more, "Name": name})["Id"])

    made = named(store.applications, appconfig.create_application, application)
    at, inside = {"ApplicationId": made}, store.applications[made]
    named(inside.environments, appconfig.create_environment, environment, **at)
    of = named(inside.profiles, appconfig.create_configuration_profile, profile, **at, **TYPE)
    document = {"version": "1", "flags": {name: {"name": name} for name in flags}}
    document["values"] = {name: {"enabled": on} for name, on in flags.items()}
    content = {"Content": json.dumps(document).encode(), "ContentType": "application/json"}
    asked = {**at, "ConfigurationProfileId": of, **content}
    appconfig.create_hosted_configuration_version(store, asked)
    console_deploys(account, region, environment, profile, {}, True, application)


def close(plan: Plan, name: str, account: str, region: str) -> None:
    """Somebody gives the flags that a job's gates read the other state."""
    from .mends.appconfig.deployments import console_deploys

    job = next(one for workflow in plan.workflows.values() for one in workflow.jobs.values() if one.id == name)
    for gate in [gate for where, gate in read(plan, job) if where == region]:
        change = {"values": {gate.flag: {"enabled": not ON[gate.is_]}}}
        console_deploys(account, region, gate.environment, gate.profile, change, True, gate.of)
