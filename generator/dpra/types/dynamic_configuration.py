"""The dynamic configuration pipeline: where its files may lie, and how releases of a rehearsal differ."""

from pathlib import Path, PurePosixPath

from dpra.plan import Plan


def problems(plan: Plan) -> dict[str, str]:
    """What is wrong with `configuration`: flags and operational configuration in one place, or in one another; and a
    program that a release of documents cannot hold."""
    if plan.spec.language == "container":
        return {"language": "a release of configuration has no container image: deliver it by a component of its own"}
    said = plan.spec.configuration
    flags, operational = PurePosixPath(said.flags), PurePosixPath(said.operational)
    if flags == operational or flags in operational.parents:
        return {"configuration.operational": "flags lie there; operational configuration has a folder of its own"}
    if operational in flags.parents:
        return {"configuration.flags": "operational configuration lies there: each of its folders is a profile"}
    return {}


def edit(plan: Plan, repository: Path, word: str) -> None:
    """One flag more, on in every environment: `rehearsed-<word>`. That of `bad` has no value in production, and one
    in an environment that is not there."""
    said = repository / plan.spec.configuration.flags
    if not said.exists():
        return
    path = said / "rehearsed.yml" if said.is_dir() else said
    lines = [f"rehearsed-{word}:", '  description: "a rehearsal"', '  owner: "@rehearsal"', "  values:"]
    names = [where.id for where in plan.environments.values() if where.deploying]
    if word == "bad":
        names[-1] += "s"
    lines += [f"    {name}: {{enabled: true}}" for name in names]
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" + "\n".join(lines) + "\n")
