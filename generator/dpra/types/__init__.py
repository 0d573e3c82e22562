"""What data cannot say of a pipeline type. One module a type at most, with any of the functions of `Type`."""

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from dpra.plan import Plan


class Type(Protocol):
    """What such a module may have."""

    def problems(self, plan: "Plan") -> Mapping[str, str]:
        """What is wrong with a spec of this type beyond what all types ask for: key of the spec -> what is wrong."""
        ...

    def missing(self, plan: "Plan", repository: Path) -> Mapping[str, str]:
        """What the spec names and the repository has not: key of the spec -> what to do."""
        ...

    def edit(self, plan: "Plan", repository: Path, word: str) -> None:
        """Change the repository so that a release of the commit of this name is another one than that before it."""
        ...


def call(name: str, plan: "Plan", otherwise: Any, *more: Any) -> Any:
    """What the function of the plan's type says; `otherwise` where it has none of this name."""
    function = find(f"{__name__}.{plan.spec.pipeline.replace('-', '_')}", name)
    return function(plan, *more) if function else otherwise


def find(module: str, name: str) -> Callable[..., Any] | None:
    """The function of this name in a module that need not be there."""
    return getattr(importlib.import_module(module), name, None) if importlib.util.find_spec(module) else None
