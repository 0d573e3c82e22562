"""The dynamic configuration pipeline: where its files may lie, and how releases of a rehearsal differ."""

from pathlib import Path

from dpra.plan import Plan


def problems(plan: Plan) -> dict[str, str]:
    """What is wrong with `configuration`: the same place for flags and for operational configuration."""
    said = plan.spec.configuration
    if said.flags.rstrip("/") == said.operational.rstrip("/"):
        return {"configuration.operational": "flags lie there; operational configuration has a folder of its own"}
    return {}


def edit(plan: Plan, repository: Path, word: str) -> None:
    """One flag more, on in every environment: `rehearsed-<word>`. That of `bad` has no value in production, and one
    in an environment that is not there."""
    said = repository / plan.spec.configuration.flags
    path = said / "rehearsed.yml" if said.is_dir() else said
    lines = [f"rehearsed-{word}:", '  description: "a rehearsal"', '  owner: "@rehearsal"', "  values:"]
    names = [where.id for where in plan.environments.values() if where.deploying]
    if word == "bad":
        names[-1] += "s"
    lines += [f"    {name}: {{enabled: true}}" for name in names]
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" + "\n".join(lines) + "\n")
