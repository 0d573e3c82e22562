"""The job graph of a pipeline: environments with their roles, workflows with their jobs. Data, made once."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from dpra import catalogue, names
from dpra.catalogue import Catalogue
from dpra.dataclasses import dataclass
from dpra.deployers import Deployer
from dpra.spec.models import READ, Spec


@dataclass(frozen=True)
class Role:
    """A role of IAM that jobs assume."""

    id: str  # as the catalogue calls it
    duty: str  # what it may do: infrastructure/duties/<duty>.yml
    name: str  # in IAM
    arn: str
    environments: tuple[str, ...]  # the GitHub environments whose jobs may assume it
    subjects: tuple[str, ...]  # what those jobs' OIDC tokens may name
    own: bool = True  # it has the policy of its duty
    policies: tuple[str, ...] = ()  # the ARNs of others that it has


@dataclass(frozen=True)
class Environment:
    """Where a stage works: one AWS account, in some regions."""

    id: str  # of its stage
    account: str
    regions: tuple[str, ...]
    waves: tuple[tuple[str, ...], ...]  # what is done at the same time, then the next; empty where a stage has none
    bake: int  # how long a wave bakes, in minutes; 0: nothing does
    alarms: tuple[str, ...]  # those that are named; empty: those of the stacks
    boundary: str  # the ARN of the policy that bounds every role that deployments make; empty: they make none
    roles: Mapping[str, Role]
    stacks: tuple[str, ...]  # the component's; {region} is left as it is
    bucket: str  # of releases; {region} is left as it is
    execution_role: str  # the ARN of the role that deployments act with; empty: there is none
    infrastructure: tuple[str, ...]  # what an administrator deploys in each region: infrastructure/<name>.yml
    promotes: bool  # what is deployed here was approved, and copied here for that
    records: bool  # the release record lies here

    @property
    def units(self) -> tuple[str, ...]:
        """What its waves are made of, where those are no regions: all of it, in order."""
        flat = tuple(target for wave in self.waves for target in wave)
        return () if {*flat} <= {*self.regions} else flat

    @property
    def deploying(self) -> Role | None:
        """The role that deploys."""
        return next((role for role in self.roles.values() if role.duty == "deploy"), None)


@dataclass(frozen=True)
class Job:
    """A job of a workflow."""

    id: str
    template: str  # jobs/<template>.yml
    stage: str  # of DPRA; empty: it belongs to none
    name: str  # as GitHub shows it, with the matrix as an expression
    limit: int  # DPRA's for the stage, in minutes, else the type's for the job; 0: none
    needs: tuple[str, ...]  # the ids of the jobs that it waits for
    wave: int  # from 1; 0: it is in none
    key: str  # of its matrix: region, unit; empty: it runs once
    legs: tuple[str, ...]  # the values of its matrix
    environment: str  # of GitHub; empty: none
    role: Role | None
    at: Environment | None  # where its stage works
    steps: tuple[str, ...]  # the DPRA actions that its steps do
    trusted: bool  # it runs no code of the repository
    on_failure: bool  # a good release has no need of it

    @property
    def duty(self) -> str:
        """What its role may do; empty where it assumes none."""
        return self.role.duty if self.role else ""

    @property
    def kind(self) -> str:
        """What it is to a release: approve, deploy, hold, bake, finish, rollback; empty: none of these."""
        if self.on_failure:
            return "rollback"
        deploying, looking = ("deploy", "bake") if self.legs else ("finish", "hold")
        return {"promote": "approve", "deploy": deploying, "observe": looking}.get(self.duty, "")

    @property
    def contexts(self) -> tuple[str, ...]:
        """The names of its checks, as GitHub shows them and a ruleset requires them."""
        return tuple(self.name.replace(f"${{{{ matrix.{self.key} }}}}", leg) for leg in self.legs) or (self.name,)


@dataclass(frozen=True)
class Workflow:
    """A workflow: its jobs by their ids, in order; those of a wave stand together."""

    id: str
    jobs: Mapping[str, Job]
    schedules: tuple[str, ...]  # cron expressions
    skipped: frozenset[str]  # DPRA actions that it leaves out
    waives: tuple[str, ...]  # zizmor's audits that do not fit

    @property
    def environments(self) -> tuple[str, ...]:
        """The GitHub environments that its jobs use."""
        return tuple(dict.fromkeys(job.environment for job in self.jobs.values() if job.environment))

    @property
    def on_failure(self) -> tuple[str, ...]:
        """The jobs that a good release has no need of."""
        return tuple(job.id for job in self.jobs.values() if job.on_failure)

    def tests_of(self, job: Job) -> list[str]:
        """The names of the jobs that test what a job deploys, each in the same leg; empty where a wave does it."""
        others = [other for other in self.jobs.values() if other.stage == job.stage and other.id != job.id]
        return [other.name for other in others if other.key] if job.kind == "deploy" and not job.wave else []


@dataclass(frozen=True)
class Store:
    """Where releases are stored and signed, once."""

    environment: str
    account: str
    region: str
    bucket: str
    images: str  # the ECR repository; empty where the component has no images
    key_alias: str
    signing_key: str  # the ARN of its alias


@dataclass(frozen=True)
class Record:
    """Where the release record lies: in the first region of the environment that keeps it."""

    environment: str
    account: str
    region: str
    bucket: str
    key: str

    @property
    def address(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


# ---- Making them


def holds(spec: Spec, deployer: Deployer | None) -> dict[str, bool]:
    """Of the conditions of jobs and infrastructure those that the spec and the deploy tool decide."""
    can = {word: deployer is not None and word in deployer.can for word in catalogue.CAN}
    return can | {"base": bool(spec.base), "paths": bool(spec.paths), "requests": spec.fleet.requests}


def environments(spec: Spec, types: Catalogue, deployer: Deployer | None) -> dict[str, Environment]:
    """The environments of a pipeline, by the stages that work in them."""
    return {stage.id: _environment(spec, types, stage, deployer) for stage in types.stages if stage.environment}


def _environment(spec: Spec, types: Catalogue, stage: catalogue.Stage, deployer: Deployer | None) -> Environment:
    said = spec.environments[stage.id]
    jobs, by_wave = types.jobs_of(stage.id), types.by_wave(stage.id)
    in_waves = tuple(target for wave in said.waves for target in wave) if types.wave_of == "region" else ()
    regions = said.regions or in_waves or spec.regions[: stage.most_regions]
    waves = (said.waves or ((regions,) if types.wave_of == "region" else ())) if by_wave else ()
    bakes = any(stage.roles.get(job.role) == "observe" and job.per == "wave" for job in jobs)
    numbers = range(1, len(waves) + 1)

    def role(name: str, duty: str) -> Role:
        used = [
            environment
            for job in jobs
            if job.role == name
            for environment in _numbered(job.environment, numbers if job.per == "wave" else ())
        ]
        used = list(dict.fromkeys(used))
        subjects = [subject for environment in used for subject in names.subjects(spec, environment)]
        arn = _role_arn(spec, regions[0], said.account, name)
        made = Role(name, duty, names.role(spec, name), arn, tuple(used), tuple(subjects))
        if duty != "test":
            return made
        asked = _asked(spec, (job for job in jobs if job.role == name))
        policies = [filled(spec, one, stage.id) for one in asked if one != READ]
        return replace(made, own=READ in asked, policies=tuple(policies))

    cannot = {word for word, so in holds(spec, deployer).items() if not so}
    needed = {
        name: duty
        for name, duty in stage.roles.items()
        if any(job.role == name and job.when not in cannot for job in jobs)
    }
    executes = deployer.execution_role if deployer and "deploy" in stage.roles.values() else ""
    makes_roles = executes not in ("", "imagebuilder")
    return Environment(
        id=stage.id,
        account=said.account,
        regions=regions,
        waves=waves,
        bake=said.bake if bakes else 0,
        alarms=said.alarms,
        boundary=said.permissions_boundary or (_boundary(spec, regions[0], said.account) if makes_roles else ""),
        roles={name: made for name, duty in needed.items() if (made := role(name, duty)).own or made.policies},
        stacks=_stacks(spec, stage.id, deployer),
        bucket=names.bucket(spec, said.account, "{region}"),
        execution_role=_role_arn(spec, regions[0], said.account, names.execution_role(stage.id)) if executes else "",
        # What a condition's name begins, is there while that holds.
        infrastructure=tuple(name for name in stage.infrastructure if name.partition("-")[0] not in cannot),
        promotes="promote" in stage.roles.values(),
        records=stage.id == types.record,
    )


def _asked(spec: Spec, jobs: Iterable[catalogue.Job]) -> list[str]:
    """What the actions of these jobs ask of AWS, each once."""
    steps = {step for job in jobs for step in job.steps}
    return list(dict.fromkeys(said.role for name, said in spec.actions.items() if said.role and name in steps))


def _numbered(name: str, waves: Iterable[int]) -> list[str]:
    """A name with {wave} in it, for each wave; one without, once."""
    return [name.replace("{wave}", str(wave)) for wave in waves] if "{wave}" in name else [name]


def _role_arn(spec: Spec, region: str, account: str, name: str) -> str:
    return names.arn(region, "iam", account, f"role/{names.role(spec, name)}", everywhere=True)


def _boundary(spec: Spec, region: str, account: str) -> str:
    return names.arn(region, "iam", account, f"policy/{names.boundary(spec)}", everywhere=True)


def _stacks(spec: Spec, environment: str, deployer: Deployer | None) -> tuple[str, ...]:
    """The names of the component's stacks in an environment, {region} left as it is."""
    if deployer is None or deployer.deploys != "stacks":
        return ()
    said = spec.deploy.cdk.stacks if spec.deploy.cdk else ()
    return tuple(filled(spec, name, environment) for name in said) or (stack(spec),)


def stack(spec: Spec) -> str:
    """The name of the component's stack, unless the deploy tool has names of its own."""
    return spec.deploy.stack or spec.name


def filled(spec: Spec, text: str, environment: str) -> str:
    """A text of the spec that differs by environment, {region} left as it is."""
    account = spec.environments[environment].account
    return text.replace("{environment}", environment).replace("{account}", account)


def store(spec: Spec, some: Iterable[Environment]) -> Store | None:
    """Where releases are stored; None where no role does that."""
    where = next((one for one in some if any(role.duty == "store" for role in one.roles.values())), None)
    if where is None:
        return None
    region, alias = where.regions[0], names.key_alias(spec)
    return Store(
        environment=where.id,
        account=where.account,
        region=region,
        bucket=names.bucket(spec, where.account, region),
        images=names.images(spec) if spec.language == "container" else "",
        key_alias=alias,
        signing_key=names.arn(region, "kms", where.account, alias),
    )


def record(spec: Spec, some: Iterable[Environment]) -> Record | None:
    """Where the release record lies; None where no environment keeps it."""
    where = next((one for one in some if one.records), None)
    if where is None:
        return None
    region = where.regions[0]
    return Record(where.id, where.account, region, names.bucket(spec, where.account, region), names.record(spec))


def base(spec: Spec, some: Iterable[Environment]) -> dict[str, str]:
    """Where the golden image is asked for that the component is made on: image, account, region, and the role that
    reads; `file` of a container, of a machine the `regions` that get its AMIs. Empty where there is none."""
    said = spec.base
    if said is None:
        return {}
    region = said.region or spec.regions[0]
    reader = names.arn(region, "iam", said.account, f"role/{names.readers(said.image)}", everywhere=True)
    found = {"image": said.image, "account": said.account, "region": region, "reader": reader}
    if spec.language == "container":
        return {**found, "file": said.file}
    return {**found, "regions": " ".join(dict.fromkeys(name for one in some if one.deploying for name in one.regions))}


def workflows(
    spec: Spec,
    types: Catalogue,
    some: Mapping[str, Environment],
    holds: Mapping[str, bool],
    schedules: Mapping[str, Collection[str]],
    done: Mapping[str, tuple[str, ...]],
) -> dict[str, Workflow]:
    """The workflows of a pipeline.

    Args:
        some: the environments.
        holds: condition of the catalogue's `when` -> whether it holds.
        schedules: condition or workflow -> cron expressions, besides those of the catalogue.
        done: job of the catalogue -> the DPRA actions that its steps do.
    """
    found = {}
    types = replace(types, jobs={name: replace(job, steps=done[name]) for name, job in types.jobs.items()})
    for said in types.workflows.values():
        if holds[said.when]:
            jobs = [types.jobs[name] for name in said.jobs]
            there = [job.id for job in jobs if holds[job.when] and (job.when != "acts" or job.steps)]
            found[said.id] = Workflow(
                id=said.id,
                jobs={job.id: job for job in _jobs(types, some, there)},
                schedules=tuple(_schedules(schedules, said)),
                skipped=frozenset(getattr(spec, said.skips).skip if said.skips else ()),
                waives=said.waives,
            )
    return found


def _schedules(schedules: Mapping[str, Collection[str]], said: catalogue.Workflow) -> Iterator[str]:
    """When a workflow starts: what the spec says of the pipeline is in place of what its type says."""
    yield from (own := schedules.get(said.id, ()))
    yield from schedules.get(said.when, ())
    if said.schedule and not own:
        yield said.schedule


def _jobs(types: Catalogue, some: Mapping[str, Environment], there: list[str]) -> Iterator[Job]:
    """The jobs of a workflow with these templates, in order."""
    known, done = types.jobs, set()
    for name in there:
        if known[name].per != "wave":
            yield _job(types, some, known[name], there, 0)
        elif (stage := known[name].stage) not in done:
            done.add(stage)
            of_wave = [known[one] for one in there if (known[one].stage, known[one].per) == (stage, "wave")]
            for wave in range(1, len(some[stage].waves) + 1):
                for job in of_wave:
                    yield _job(types, some, job, there, wave)


def _job(types: Catalogue, some: Mapping[str, Environment], said: catalogue.Job, there: list[str], wave: int) -> Job:
    at = some.get(said.stage)
    key = "" if said.alone else {"region": "region", "wave": types.wave_of}.get(said.per, "")
    legs = (at.waves[wave - 1] if wave else at.regions) if at and key else ()
    name = said.name.replace("{wave}", str(wave))
    role = at.roles.get(said.role) if at and said.role else None
    return Job(
        id=f"{said.id}-{wave}" if wave else said.id,
        template=said.id,
        stage=said.stage,
        name=f"{name} in ${{{{ matrix.{key} }}}}" if key else name,
        limit=(types.stage(said.stage).limit if said.stage else 0) or said.limit,
        needs=tuple(dict.fromkeys(_needs(types, some, said, there, wave))),
        wave=wave,
        key=key,
        legs=legs,
        environment=said.environment.replace("{wave}", str(wave)) if role or not said.role else "",
        role=role,
        at=at,
        steps=said.steps,
        trusted=said.trusted,
        on_failure=said.on_failure,
    )


def _needs(
    types: Catalogue, some: Mapping[str, Environment], said: catalogue.Job, there: list[str], wave: int
) -> Iterator[str]:
    """The ids of the jobs that a job waits for.

    A job of a wave waits for those before it in the same wave and for those behind it in the wave before; one that is
    in no wave of the same stage, for those of all waves."""
    known = types.jobs
    order = list(known)
    for name in catalogue.needed(known, said.needs, there):
        other = known[name]
        if other.per != "wave":
            yield name
        elif not wave or other.stage != said.stage:
            yield from (f"{name}-{number}" for number in range(1, len(some[other.stage].waves) + 1))
        elif order.index(name) < order.index(said.id):
            yield f"{name}-{wave}"
        elif wave > 1:
            yield f"{name}-{wave - 1}"
