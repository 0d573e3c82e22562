"""The deploy tools, as the heads of the pack's `_lib/deployers/<tool>.py` describe them."""

from collections.abc import Collection, Mapping
from functools import cache

from dpra import resources
from dpra.dataclasses import dataclass
from dpra.spec.models import Spec

FOLDER = resources.PACK / "_lib" / "deployers"


@dataclass(frozen=True)
class Deployer:
    """A deploy tool."""

    name: str
    deploys: str  # stacks; software, into infrastructure that is there; images; fleets; commands: its own matter
    needs: tuple[str, ...]  # the other deploy tools that it stands on
    template: str  # the default file that describes a deployment; empty where it takes none
    execution_role: str  # who acts with it: cloudformation, imagebuilder, deploying-role; empty: there is none
    infrastructure: str  # the language of its infrastructure code, as checks know it; empty: it has none
    changes: tuple[str, ...]  # service:Operation of AWS by which it changes what runs
    pipelines: tuple[str, ...]  # the pipeline types that it is for
    can: tuple[str, ...]  # what else than to deploy: drift, switch-off
    default_for: tuple[str, ...]  # and those where it deploys unless the spec says another
    kind: str  # of images, that it publishes; empty: none
    base: str  # how a deployment gets the AMI that it is made on; empty: it takes none


def of(pipeline: str) -> list[str]:
    """The names of the deploy tools of a pipeline type, its default one first."""
    there = [tool for tool in every().values() if pipeline in tool.pipelines]
    return [tool.name for tool in sorted(there, key=lambda tool: pipeline not in tool.default_for)]


def of_spec(spec: Spec, takes: Collection[str]) -> Deployer | None:
    """The deploy tool of a spec, whose pipeline type takes these keys; None where it deploys by its own means."""
    if "image" in takes:
        return next(tool for tool in every().values() if tool.kind == spec.image.kind)
    if "fleet" in takes:
        return next(tool for tool in every().values() if tool.deploys == "fleets")
    return every()[spec.deploy.with_] if "deploy" in takes else None


@cache
def every() -> Mapping[str, Deployer]:
    """All deploy tools by their names."""
    header = resources.lib("head").header
    found = {}
    for path in sorted(FOLDER.glob("[a-z]*.py")):
        head = {key: values[0] for key, values in header(path).items()}
        found[path.stem] = Deployer(
            name=path.stem,
            deploys=head["deploys"],
            needs=tuple(head.get("needs", "").split()),
            template=head.get("template", ""),
            execution_role=head.get("execution-role", ""),
            infrastructure=head.get("infrastructure", ""),
            changes=tuple(head.get("changes", "").split()),
            pipelines=tuple(head["pipelines"].split()),
            can=tuple(head.get("can", "").split()),
            default_for=tuple(head.get("default-for", "").split()),
            kind=head.get("kind", ""),
            base=head.get("base", ""),
        )
    return found
