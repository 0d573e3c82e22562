"""Every name in GitHub and AWS: each is made here and nowhere else, from the spec."""

import re

from dpra.spec.models import PARTITIONS, Spec

VENDORED = ".github/actions/dpra"  # where the pack lies in a repository
INFRASTRUCTURE = "infrastructure/dpra"  # the templates of the accounts
SCHEMA = ".github/dpra.schema.json"
EXPECTED = ".github/dpra.expected.json"  # what the workflows promise
OWN = "dpra-"  # how every name in AWS begins that is made here
MAIN = "aws"  # the partition of whoever names a region that is in none


def partition(region: str) -> str:
    """The partition of a region, which every ARN begins with: aws, aws-us-gov, ..."""
    return next((name for name, regions in PARTITIONS.items() if region in regions), MAIN)


def domain(region: str) -> str:
    """Where AWS's services of a region are."""
    return {"aws-cn": "amazonaws.com.cn", "aws-eusc": "amazonaws.eu"}.get(partition(region), "amazonaws.com")


def arn(region: str, service: str, account: str, name: str, *, everywhere: bool = False) -> str:
    """An ARN; with `everywhere` of a service whose names have no region."""
    return f"arn:{partition(region)}:{service}:{'' if everywhere else region}:{account}:{name}"


def reserved(name: str) -> bool:
    """Could something of this name be the pipeline's own: `dpra` or `dpra-…`, in any case?

    Args:
        name: as IAM reads it: `*` and `?` stand for other characters.
    """

    def begins(pattern: str, own: str) -> bool:
        if not own or not pattern:
            return not own
        if pattern[0] == "*":
            return begins(pattern[1:], own) or begins(pattern, own[1:])
        return pattern[0] in ("?", own[0]) and begins(pattern[1:], own[1:])

    return begins(re.sub(r"\*+", "*", name.lower()) + "-", OWN)


def stack(spec: Spec, kind: str) -> str:
    """The stack that an administrator deploys: the trust of an environment, or what stands in its regions."""
    return f"dpra-{spec.name}-{kind}"


def role(spec: Spec, name: str) -> str:
    """The name of a role that jobs assume, or that an environment's deployments act with."""
    return f"dpra-{spec.name}-{name}"


def readers(image: str) -> str:
    """The role by which others read the parameters of a golden image, in the account of its production."""
    return f"dpra-{image}-readers"


def execution_role(environment: str) -> str:
    """What `role` calls the role that an environment's deployments act with."""
    return f"{environment}-execution"


def boundary(spec: Spec) -> str:
    """The policy that bounds what deployments act with, and every role that they make."""
    return f"dpra-{spec.name}-boundary"


def path(spec: Spec) -> str:
    """The path of the roles that the component makes: a component's name has no `/`, so that no other one's fits."""
    return f"/{spec.name}/"


def bucket(spec: Spec, account: str, region: str) -> str:
    """The bucket of releases of one account and region."""
    return f"dpra-{spec.name}-{account}-{region}"


def images(spec: Spec) -> str:
    """The ECR repository of the component's images, beside the store."""
    return f"dpra-{spec.name}"


def image_repository(spec: Spec) -> str:
    """The ECR repository where consumers find a golden image; its parameters have this path, too."""
    return f"images/{spec.name}"


def machine(spec: Spec) -> str:
    """What Image Builder and EC2 call whatever makes and tests a machine's image."""
    return f"dpra-{spec.name}"


def key_alias(spec: Spec) -> str:
    """The alias of the key that signs the component's releases."""
    return f"alias/dpra-{spec.name}"


def record(spec: Spec) -> str:
    """The key of the release record in its bucket."""
    return f"{spec.name}/record.json"


def subjects(spec: Spec, environment: str) -> list[str]:
    """The OIDC subjects that a job of this GitHub environment may send.

    Repositories made, renamed or moved after 2026-07-15 send the ids, older ones the names alone (GitHub's changelog:
    immutable subject claims). Both are admitted where the ids are known, since the trust policy then asks for
    `repository_id`, too.
    """
    owner, name = spec.repository.split("/")
    found = [f"repo:{owner}/{name}:environment:{environment}"]
    if spec.repository_id:
        found.insert(0, f"repo:{owner}@{spec.owner_id}/{name}@{spec.repository_id}:environment:{environment}")
    return found
