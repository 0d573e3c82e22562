"""moto, mended in this process so that it does what AWS does where a rehearsal depends on it."""

from functools import cache
from typing import Any

from moto.core.base_backend import BackendDict, BaseBackend, backend_lock
from moto.core.model_instances import reset_model_data

from .. import roots
from . import (
    alarms,
    canaries,
    change_sets,
    contacts,
    controltower,  # it sees accounts move
    imagebuilder,  # noqa: F401 - its types of CloudFormation are found
    instances,
    keys,
    machines,
    managed,
    organization_policies,
    organization_tags,
    organizations,
    products,  # noqa: F401 - its types of CloudFormation are found
    resource_types,
    resources,
    roles,
    service_catalog,
    sessions,
    stack_sets,
    uploads,
)


@cache
def mend() -> None:
    """Put the mends in place, once in a process."""
    resource_types.register()
    resources.mend()
    keys.mend()
    roles.mend()
    alarms.mend()
    canaries.mend()
    change_sets.mend()
    machines.mend()
    instances.mend()
    managed.mend()
    service_catalog.mend()
    sessions.mend()
    uploads.mend()
    organization_policies.mend()
    organization_tags.mend()
    organizations.mend()
    contacts.mend()
    stack_sets.mend()


def forget() -> None:
    """Empty every account: a rehearsal starts from nothing."""
    services: Any = vars(BackendDict)["_instances"]
    with backend_lock:
        for service in services:
            for backend in (one for account in service.values() for one in account.values()):
                if type(backend).reset is not BaseBackend.reset:  # the others have nothing to close, and are made anew
                    backend.reset()
            service.clear()
        services.clear()
    reset_model_data()
    roots.forget()
    organizations.forget()
    stack_sets.forget()
    controltower.store.FAILING.clear()
