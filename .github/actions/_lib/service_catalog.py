"""Versions of a product of AWS Service Catalog: each offers one version of an image, by a CloudFormation template.

Service Catalog asks for no two versions to differ in name, and shows of a version's template an address only. So dpra
keeps the SHA-256 of the template in the version's description, which all who may launch it see:

    by dpra from the template sha256:<64 hex digits>
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aws
import runner
import store
from deployment import polls

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # a part of a parameter's path
MADE = re.compile(r"\bsha256:([0-9a-f]{64})\b")


def filled(template: bytes, image: str, version: str) -> bytes:
    """The template of a version: what stands in it as /images/NAME/VERSION becomes the parameter of that version.

    The word VERSION stands there as it is, the name is the image's, such as in
    `Image: "{{resolve:ssm:/images/shop/VERSION}}"`. What is put in means nothing in YAML or JSON, wherever it stands.

    Args:
        image: the name of the image.
    Raises:
        runner.Failed: the template does not name the parameter, or the image or the version has other characters.
    """
    if strange := [one for one in (*image.split("/"), version) if not NAME.fullmatch(one)]:
        raise runner.Failed(f"'{strange[0]}' cannot be in the path of a parameter: letters, digits and . _ - only")
    wanted = f"/images/{image}/VERSION"
    made, count = re.subn(
        rf"(?<![\w./-]){re.escape(wanted)}(?![\w./-])".encode(), f"/images/{image}/{version}".encode(), template
    )
    if not count:
        raise runner.Failed(f"the product's template does not name the image: refer to {{{{resolve:ssm:{wanted}}}}}")
    return made


def publish(region: str, product: str, version: str, template: bytes, *, bucket: str, folder: str, account: str) -> str:
    """The id of the product's version of that name. It is made unless it is there, and it is active in the end.

    Args:
        product: its id, prod-…, of this account and region.
        template: as it is to be launched.
        bucket: of this account, from which Service Catalog takes the template, once.
        folder: of that bucket, without a slash at its end; the file's name is the template's SHA-256.
    Raises:
        runner.Failed: there is no such product, or a version of that name that was made of something else.
    """
    digest = hashlib.sha256(template).hexdigest()
    found = _find(region, product, version)
    if found is None:
        found = _make(region, product, version, digest, _stored(region, bucket, folder, account, template, digest))
        runner.say(f"{product} has a new version, {version}, in {region}")
    elif (made := MADE.search(found.get("Description", ""))) is None or made[1] != digest:
        of = "was made of another template" if made else "was not made by dpra"
        raise runner.Failed(
            f"the version {version} of {product} in {region} {of}: give this one another name, or delete that one "
            f"(aws servicecatalog delete-provisioning-artifact --product-id {product} --provisioning-artifact-id "
            f"{found['Id']}) and run again"
        )
    _settled(region, product, version, found["Id"])
    _set(region, product, version, found, active=True)
    return str(found["Id"])


def withdraw(region: str, product: str, version: str) -> None:
    """Nobody can launch the version from now on, or update to it; what was launched stays. Nothing where it is not."""
    if found := _find(region, product, version):
        _set(region, product, version, found, active=False)
    else:
        runner.say(f"{product} has no version {version} in {region}: there is nothing to take back")


def restore(region: str, product: str, version: str) -> None:
    """It can be launched again.

    Raises:
        runner.Failed: there is no such version."""
    if (found := _find(region, product, version)) is None:
        raise runner.Failed(f"{product} has no version {version} in {region}: publish it")
    _set(region, product, version, found, active=True)


def _find(region: str, product: str, version: str) -> dict[str, Any] | None:
    """The version of that name."""
    try:
        listed = aws.call(region, "servicecatalog", "list-provisioning-artifacts", ProductId=product)
    except aws.Refused as refused:
        if refused.code != "ResourceNotFoundException":
            raise
        raise runner.Failed(
            f"there is no product {product} in {region}: make one in Service Catalog of this account and region, put "
            "it into a portfolio, and say its id in dpra.yml",
            "error",
        ) from refused
    found = [dict(one) for one in listed.get("ProvisioningArtifactDetails", []) if one.get("Name") == version]
    if len(found) > 1:
        ids = ", ".join(one["Id"] for one in found)
        raise runner.Failed(f"{product} has {len(found)} versions {version} in {region}: delete all but one of {ids}")
    return found[0] if found else None


def _stored(region: str, bucket: str, folder: str, account: str, template: bytes, digest: str) -> str:
    """The address of the template in the bucket. There it is named by its content: what lies there is the same."""
    key = f"{folder}/{digest}.template"
    with tempfile.TemporaryDirectory(dir=runner.temp()) as place:
        file = Path(place, f"{digest}.template")
        file.write_bytes(template)
        store.put_once(region, bucket, account, key, file)
    return f"https://{bucket}.s3.{region}.{aws.domain(region)}/{quote(key)}"


def _make(region: str, product: str, version: str, digest: str, address: str) -> dict[str, Any]:
    # By the token a request that the CLI repeats makes one version. It differs by run, so that one that was deleted, as
    # it failed, is made anew.
    run = f"{os.environ['GITHUB_RUN_ID']}-{os.environ['GITHUB_RUN_ATTEMPT']}"
    token = hashlib.sha256(f"{run} {product} {version} {digest}".encode()).hexdigest()
    parameters = {
        "Name": version,
        "Description": f"by dpra from the template sha256:{digest}",
        "Info": {"LoadTemplateFromURL": address},
        "Type": "CLOUD_FORMATION_TEMPLATE",
    }
    try:
        made = aws.call(
            *(region, "servicecatalog", "create-provisioning-artifact"),
            ProductId=product,
            Parameters=parameters,
            IdempotencyToken=token,
        )
    except aws.Refused as refused:
        if refused.code != "LimitExceededException":
            raise
        raise runner.Failed(
            f"{product} has as many versions in {region} as Service Catalog keeps: delete some that nobody uses "
            "(aws servicecatalog delete-provisioning-artifact), or ask AWS for a higher quota",
            "error",
        ) from refused
    return dict(made["ProvisioningArtifactDetail"])


def _settled(region: str, product: str, version: str, made: str) -> None:
    """Wait until Service Catalog has made the version."""
    for _ in polls():
        found = aws.call(
            *(region, "servicecatalog", "describe-provisioning-artifact"),
            ProductId=product,
            ProvisioningArtifactId=made,
        )
        if found["Status"] == "AVAILABLE":
            return
        if found["Status"] == "FAILED":
            raise runner.Failed(
                f"Service Catalog could not make the version {version} of {product} in {region}: mend the template, "
                f"delete the version (aws servicecatalog delete-provisioning-artifact --product-id {product} "
                f"--provisioning-artifact-id {made}) and run again"
            )


def _set(region: str, product: str, version: str, found: Mapping[str, Any], *, active: bool) -> None:
    """Make it active or inactive, unless it is."""
    if found.get("Active", True) == active:
        return
    aws.call(
        *(region, "servicecatalog", "update-provisioning-artifact"),
        ProductId=product,
        ProvisioningArtifactId=found["Id"],
        Active=active,
    )
    runner.say(f"{product}, version {version} in {region}: {'can' if active else 'cannot'} be launched from now on")
