"""What the checks of documents are told: where they lie, and which environments or units have them."""

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from dpra.graph import Environment
from dpra.spec.models import Spec

TEMPLATES = "baselines/*/template.*"  # of a fleet's baselines, as the checks of templates take them


def configuration(spec: Spec, some: Iterable[Environment], template: str) -> Mapping[str, Any]:
    """Flags and operational configuration, and which environments have them in which regions."""
    said = spec.configuration
    regions = {where.id: where.regions for where in some if where.deploying}
    # As git calls them: without ./ and a slash at the end.
    flags, operational = (PurePosixPath(path).as_posix() for path in (said.flags, said.operational))
    places = {"flags": flags, "operational": operational, "references": said.references}
    return {**places, "environments": [*regions], "regions": regions, "template": template}


def fleet(spec: Spec, some: Iterable[Environment]) -> Mapping[str, Any]:
    """A fleet: whose it is, and the units by which it is delivered, in their order."""
    folder = {"folder": folder_of(spec)} if spec.fleet.folder else {}
    return {"component": spec.name, "parts": [unit for where in some for unit in where.units], **folder}


def folder_of(spec: Spec) -> str:
    """Where a fleet's files lie; empty for the repository's root."""
    return PurePosixPath(spec.fleet.folder).as_posix() if spec.fleet.folder else ""


def templates(spec: Spec) -> str:
    """The templates of a fleet's baselines."""
    return PurePosixPath(spec.fleet.folder, TEMPLATES).as_posix()
