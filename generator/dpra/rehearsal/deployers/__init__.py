"""What a rehearsal knows of a deploy tool. One module a tool at most, with any of the functions of `Tool`."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from dpra.graph import Environment
from dpra.plan import Plan
from dpra.types import find

from ..result import Deployment


class Tool(Protocol):
    """What such a module may have."""

    def provide(self, plan: Plan) -> None:
        """Make what others make in the accounts before a release, and the spec names."""
        ...

    def running(self, plan: Plan) -> Sequence[Deployment]:
        """What runs where in the accounts of a rehearsal."""
        ...

    def forget(self, plan: Plan, where: Environment) -> None:
        """Make it as if nothing had ever been deployed to an environment."""
        ...

    def console(self, plan: Plan, region: str, state: str) -> None:
        """What somebody does in the console of AWS, in production; `state`: how far it has come."""
        ...

    def left(self, plan: Plan, where: Environment) -> Mapping[str, Sequence[str]]:
        """What is left in the account of an environment: the scenario's word for it -> which ones."""
        ...

    def hours_pass(self, plan: Plan, hours: int) -> None:
        """Let what is in the accounts be so much older."""
        ...

    def simulated(self, plan: Plan) -> Sequence[str]:
        """What of it a rehearsal only plays."""
        ...


def readable(plan: Plan) -> bool:
    """Whether a rehearsal can tell what runs where: from stacks, or as the deploy tool knows."""
    return plan.deployer is None or plan.deployer.deploys == "stacks" or call("running", plan, None) is not None


def call(name: str, plan: Plan, otherwise: Any, *more: Any) -> Any:
    """What the function of the plan's deploy tool says; `otherwise` where it has none of this name."""
    function = find(f"{__name__}.{plan.deployer.name}", name) if plan.deployer else None
    return function(plan, *more) if function else otherwise
