"""Builds a golden image, opens what was built for its tests, and shows what differs from the last one."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "_lib"), str(Path(__file__).resolve().parent)]
import aws
import dockerfile
import evidence
import image
import image_difference
import in_image
import inside
import record
import release
import runner
import store

TRIVY = Path(__file__).resolve().parent.parent / "check" / "tools" / "trivy.sh"
OPENED = "dpra-image"  # how buildah calls the container


def build() -> None:
    """Build the image for all of its platforms: an OCI archive, and what it is."""
    with evidence.recorded("build-environment", tool="buildah") as facts:
        file, platforms = Path(runner.required("FILE")), runner.required("PLATFORMS").split()
        if not file.is_file():
            raise runner.Failed(f"{file} does not exist: create it, or say image.file in dpra.yml", "error")
        if file.suffix == ".in":
            raise runner.Failed(f"{file}: buildah would build what the C preprocessor makes of it: name it otherwise")
        text = file.read_bytes().decode("utf-8", "replace")  # a carriage return ends no line
        for line, name in dockerfile.unpinned(text):
            runner.error(f"{name} is taken without a digest: name it as NAME@sha256:…", str(file), line, "base image")
            facts["findings"] = {"without digest": facts.get("findings", {}).get("without digest", 0) + 1}
        if "findings" in facts:
            raise runner.Failed
        name, version = runner.required("COMPONENT"), image.version()
        out = Path(tempfile.mkdtemp(dir=runner.temp()))
        # Of this run alone: to an index that is there buildah would add, and a runner may be used again.
        built = f"dpra-{os.urandom(8).hex()}"
        archive = out / release.ARCHIVE
        options = ["--format", "oci", "--layers=false", "--platform", ",".join(platforms), "--file", str(file)]
        options += ["--timestamp", committed()]  # the same content is the same image, whenever it is built
        for key, value in labels(name).items():
            options += ["--label", f"org.opencontainers.image.{key}={value}"]
        if len(platforms) > 1:
            buildah("build", *options, "--manifest", built, str(file.parent))
            buildah("manifest", "push", "--quiet", "--all", built, f"oci-archive:{archive}")
        else:
            buildah("build", *options, "--tag", built, str(file.parent))
            buildah("push", "--quiet", built, f"oci-archive:{archive}")
        digest, made = image.layout(archive)
        if sorted(made) != sorted(platforms):
            raise runner.Failed(f"buildah built {', '.join(made)}, not {', '.join(platforms)}", "error")
        name_of_base, _, its_digest = dockerfile.base(text).partition("@")
        made_from = {"image": name_of_base, "digest": its_digest} if its_digest else {}
        said = {"name": name, "version": version, "digest": digest, "platforms": made, "base": made_from}
        (out / release.IMAGE).write_text(json.dumps(said) + "\n", encoding="utf-8")
        facts["where"] = digest
        runner.output("path", str(out))
        rows = [(runner.code(platform), runner.code(one)) for platform, one in made.items()]
        runner.summary(f"image {runner.code(f'{name} {version}')}", ("platform", "digest"), rows)
        runner.say(f"{name} {version} is {digest}")


def committed() -> str:
    """When the commit was made, in seconds since 1970."""
    words = ["git", "show", "--no-patch", "--format=%ct", "HEAD"]
    return subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True).stdout.strip()


def labels(name: str) -> dict[str, str]:
    """What the image says of itself: https://github.com/opencontainers/image-spec/blob/main/annotations.md"""
    source = f"{os.environ['GITHUB_SERVER_URL']}/{os.environ['GITHUB_REPOSITORY']}"
    return {"title": name, "revision": os.environ["GITHUB_SHA"], "source": source}


def buildah(*words: str) -> None:
    try:
        ran = subprocess.run(["buildah", *words], check=False)
    except OSError as problem:
        raise runner.Failed(
            f"buildah cannot be run: {problem.strerror}; install it, or use a hosted Ubuntu runner", "error"
        ) from problem
    if ran.returncode:
        raise runner.Failed(f"buildah {words[0]} failed with {runner.ended(ran.returncode)}: its output above says why")


def opened() -> None:
    """Make a container of the release's image, and put in-image into PATH for the steps that follow."""
    with tempfile.TemporaryDirectory(dir=runner.temp()) as folder:
        archive = release.image_archive(Path(runner.required("RELEASE")) / release.PACKAGE, Path(folder))
        subprocess.run(["buildah", "rm", OPENED], capture_output=True, check=False)  # of a runner's earlier job
        buildah("from", "--quiet", "--name", OPENED, f"oci-archive:{archive}")
    inside.install(Path(in_image.__file__))
    runner.say("in-image COMMAND runs a command in a container of the image")


def unchanged() -> None:
    """Say why the image is the one that was stored last, of the same commit; nothing where it is another.

    Whether production has that or refused it: nobody is asked anew about the same image. What an earlier attempt of the
    run stored was offered to nobody, and what a lost runner stored in part is no image."""
    region, bucket, component = (runner.required(name) for name in ("REGION", "BUCKET", "COMPONENT"))
    aws.expect_account(region, runner.required("ACCOUNT"))
    if not (digest := store.newest(region, bucket, component, release.MANIFEST)):
        return
    before = fetched(region, bucket, digest, release.MANIFEST, lacks=(release.IMAGE, *release.SBOMS))
    if json.loads((before / release.MANIFEST).read_bytes())["commit"] != os.environ["GITHUB_SHA"]:
        return
    now = Path(runner.required("RELEASE"))
    if not (before / release.IMAGE).exists() or image.run_of(before) == image.run_of(now):
        return
    if why := image_difference.unchanged(known(before), known(now)):
        runner.output("unchanged", why)
        with evidence.recorded("package-and-store-artifacts"):
            raise runner.Held(f"there is no new image: {why}")


def difference() -> None:
    """Show what the new image has that production's last one has not."""
    directory = Path(runner.required("RELEASE"))
    now = known(directory, looked_at=True)
    named = f"{now.record['name']} {now.record['version']}"
    aws.expect_account(runner.required("RECORD_REGION"), runner.required("ACCOUNT"))
    place = record.given()
    kept, _ = record.read(place)
    if not kept["current"]:
        runner.summary(f"{runner.code(named)} is the first image")
        runner.say("production has no image yet: there is nothing to compare with")
        runner.output("sentence", "the first image")
        return
    last = known(fetched(place.region, place.bucket, kept["current"]["digest"]), looked_at=True)
    found = image_difference.difference(last, now)
    runner.output("sentence", image_difference.sentence(found))
    runner.notice(image_difference.sentence(found), title=f"{named} against {last.record['version']}")
    image_difference.markdown(found, f"{runner.code(named)} against {runner.code(last.record['version'])}")
    path = evidence.directory() / "image-difference.json"
    path.write_text(json.dumps(image_difference.document(found), indent=1) + "\n", encoding="utf-8")


def known(directory: Path, *, looked_at: bool = False) -> image_difference.Image:
    """The image of a release: its image.json, and the SBOM of all of its platforms; a hotfix may have brought none.

    Args:
        looked_at: with what is known today of vulnerabilities in it.
    """
    sbom, said = directory / release.SBOMS[0], image.read(directory)
    if not sbom.is_file():
        return image_difference.image(said, {})
    there = dict.fromkeys(said["platforms"], json.loads(sbom.read_bytes()))
    found = image_difference.vulnerabilities(sbom, TRIVY) if looked_at else None
    return image_difference.image(said, there, found)


def fetched(region: str, bucket: str, digest: str, *more: str, lacks: Sequence[str] = release.SBOMS) -> Path:
    """A folder with what is known of the image of a stored release, which may lack some of it."""
    folder = Path(tempfile.mkdtemp(dir=runner.temp()))
    for name in (release.IMAGE, release.SBOMS[0], *more):
        try:
            store.fetch(region, bucket, runner.required("COMPONENT"), digest, name, folder)
        except aws.Refused as refused:
            if refused.code != "NoSuchKey" or name not in lacks:
                raise
    return folder


DUTIES = {"build": build, "open": opened, "unchanged": unchanged, "difference": difference}

runner.perform(DUTIES, "image")
