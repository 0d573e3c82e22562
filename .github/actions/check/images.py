"""The images of a folder, as trivy can read them; and what it said of each, as one report.

images.py list: what `trivy image --input` takes for each image in $TARGET, NUL-separated: a docker archive as it is, of
an OCI archive a layout for each platform below $TMPDIR: trivy reads neither an OCI archive nor more than one platform.
images.py merge REPORT: trivy's $TMPDIR/found-0.json, found-1.json and so on, in that order, become one report.
images.py unseen [SARIF]: where trivy saw no package, and there is a database of packages: added to a report of
findings, or told as sarif.py takes it.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
sys.path.insert(1, str(Path(__file__).resolve().parent))
import oci
import package_databases
import runner
import sarif

TARGET, PRIVATE = (Path(os.environ[name]) for name in ("TARGET", "TMPDIR"))
KNOWN = PRIVATE / "images.json"  # what list found, for the others
# Whose packages are in which kind of database.
FAMILIES = {
    **dict.fromkeys(("alpine", "chainguard", "minimos", "wolfi"), "apk"),
    **dict.fromkeys(("debian", "ubuntu"), "dpkg"),
    **dict.fromkeys(("alma", "amazon", "azurelinux", "cbl-mariner", "centos", "oracle", "photon", "redhat"), "rpm"),
    **dict.fromkeys(("fedora", "opensuse", "opensuse-leap", "opensuse-tumbleweed", "rocky", "sles", "suse"), "rpm"),
}
PARTS = ("Packages", "Vulnerabilities", "Licenses")  # of a result of trivy's


def layout(image: oci.Image, folder: Path) -> None:
    """Write an OCI layout with this one image; its blobs are shared with those of the other platforms."""
    blobs = PRIVATE / "blobs"
    (blobs / "sha256").mkdir(parents=True, exist_ok=True)
    for digest in (image.digest, image.config_digest, *(layer.digest for layer in image.layers)):
        path = blobs / "sha256" / digest.partition(":")[2]
        if not path.exists():
            with path.open("wb") as file:
                file.writelines(image.archive.blob(digest))
    folder.mkdir(parents=True)
    (folder / "blobs").symlink_to(blobs)
    size = (blobs / "sha256" / image.digest.partition(":")[2]).stat().st_size
    descriptor = {"mediaType": image.media_type, "digest": image.digest, "size": size}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [descriptor]}), encoding="ascii")
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="ascii")


def databases(image: oci.Image) -> dict[str, str]:
    """Its databases of packages that are not empty: kind -> path."""
    found: dict[str, str] = {}
    for path, entry in image.files.items():
        if entry.kind == "file" and entry.size:
            for kind in package_databases.kinds(path):
                found.setdefault(kind, path)
    return found


def listed() -> list[dict[str, Any]]:
    """Every image, for every platform: what trivy takes, its name, and its databases of packages."""
    found: list[dict[str, Any]] = []
    for path in oci.archives(TARGET):
        name = f"./{path.relative_to(TARGET).as_posix()}"
        with oci.opened(path) as archive:
            if archive.kind == "docker" and len(archive.images) > 1:
                raise runner.Failed(f"{name} has {len(archive.images)} images: save one, or an OCI archive", "error")
            for image in archive.images:
                given = name
                if archive.kind == "oci":
                    given = str(PRIVATE / "images" / str(len(found)))
                    layout(image, Path(given))
                about = {"input": given, "name": name, "platform": image.platform}
                found.append({**about, "databases": databases(image)})
    if not found:
        raise runner.Failed("There is no image (*.tar) to check.", "error")
    for name in {one["name"] for one in found}:
        of_it = [one for one in found if one["name"] == name]
        for one in of_it if len(of_it) > 1 else []:
            one["name"] = f"{name}/{one['platform']}"
    return found


def merged(images: list[dict[str, Any]], reports: list[dict[str, Any]], together: bool) -> dict[str, Any]:
    """One report of several, in which each result, package and vulnerability is once.

    Args:
        together: the distribution's packages of all images are one result, for an SBOM; else one for each image.
    """
    if len(reports) == 1 and reports[0]["ArtifactName"] == images[0]["name"]:
        return reports[0]
    results: dict[tuple[str, ...], dict[str, Any]] = {}
    for image, report in zip(images, reports, strict=True):
        shown = _archive(images[0]) if together else image["name"]
        for result in report.get("Results") or []:
            if result["Target"].startswith(f"{report['ArtifactName']} ("):
                result["Target"] = shown + result["Target"].removeprefix(report["ArtifactName"])
            key = (result["Class"], result.get("Type", ""), result["Target"])
            whole = results.setdefault(key, {**result, **{part: [] for part in PARTS if part in result}})
            for part in PARTS:
                if part in result:
                    known = {_identity(one) for one in whole.setdefault(part, [])}
                    whole[part] += [one for one in result[part] if _identity(one) not in known]
    first = reports[0]
    if len(reports) > 1:  # what is said of an image is true of the first one only
        system = next((one["Metadata"]["OS"] for one in reports if (one.get("Metadata") or {}).get("OS")), None)
        first = {**first, "ArtifactID": "", "Metadata": {"OS": system} if system else {}}
    return {**first, "ArtifactName": _archive(images[0]), "Results": list(results.values())}


def _archive(image: dict[str, Any]) -> str:
    return str(image["name"]).removesuffix(f"/{image['platform']}")


def _identity(one: dict[str, Any]) -> str:
    """What makes a package, a vulnerability or a licence another one."""
    if "VulnerabilityID" in one:
        names = ("VulnerabilityID", "PkgName", "InstalledVersion", "PkgPath")
        return repr([one.get(name) for name in names])
    return str((one.get("Identifier") or {}).get("UID") or json.dumps(one, sort_keys=True))


def unseen(images: list[dict[str, Any]], reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A finding for each image in which trivy did not see the distribution's packages, or took it for another."""
    found = []
    for image, report in zip(images, reports, strict=True):
        seen = [one for one in report.get("Results") or [] if one["Class"] == "os-pkgs" and one.get("Packages")]
        family = str(((report.get("Metadata") or {}).get("OS") or {}).get("Family") or "none")
        there = image["databases"]
        if there and (not seen or FAMILIES.get(family, next(iter(there))) not in there):
            text = (
                f"the packages in /{next(iter(there.values()))} of the image for {image['platform']} were not checked: "
            )
            text += f"trivy takes its distribution for '{family}', by /etc/os-release and the like"
            found.append({"rule": "not-checked", "severity": "high", "text": text, "file": image["name"]})
    return found


def main() -> None:
    what, *more = sys.argv[1:]
    if what == "list":
        try:
            images = listed()
        except runner.Failed as problem:
            sys.exit(str(problem))
        KNOWN.write_text(json.dumps(images), encoding="utf-8")
        sys.stdout.write("".join(f"{one['input']}\0" for one in images))
        return
    images = json.loads(KNOWN.read_bytes())
    reports = [json.loads((PRIVATE / f"found-{number}.json").read_bytes()) for number in range(len(images))]
    if what == "merge":
        together = os.environ["ACTION"] == "sbom"
        Path(more[0]).write_text(json.dumps(merged(images, reports, together)), encoding="utf-8")
    elif more:
        document = json.loads(Path(more[0]).read_bytes())
        document["runs"][0]["results"] += map(sarif.result, unseen(images, reports))
        Path(more[0]).write_text(json.dumps(document), encoding="utf-8")
    else:
        for one in unseen(images, reports):
            print(json.dumps(one))


main()
