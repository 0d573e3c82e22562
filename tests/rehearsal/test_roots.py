"""The roots of machines: a small Debian 12 whose packages come from the rehearsal's archive, as the gates see it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from dpra.rehearsal import buildah, debian, roots

if os.geteuid():
    pytest.skip("machines are folders that only root can enter", allow_module_level=True)

PACK = Path(__file__).parents[2] / ".github" / "actions"
UPGRADE = "apt-get update && apt-get -y upgrade"


@pytest.fixture
def work(tmp_path):
    """Where a rehearsal has its archive of packages."""
    roots.forget()
    (tmp_path / "steps").mkdir()
    buildah.install(tmp_path / "steps", tmp_path)
    yield tmp_path
    roots.ARCHIVE.clear()
    roots.stop()


def run(root, *commands):
    done = roots.run(root, ["bash", "-c", "\n".join(("set -e", *commands))], 60)
    assert not done.code, done.err
    return done.out


def packages(root):
    """What dpkg knows, read by dpkg's own field names."""
    said = (root / "var/lib/dpkg/status").read_text().strip().split("\n\n")
    fields = [dict(line.split(": ", 1) for line in entry.splitlines()) for entry in said]
    return {one["Package"]: one["Version"] for one in fields}


def seen(root, tmp_path):
    """What trivy sees in these files: the distribution, packages, and vulnerabilities."""
    done = subprocess.run(
        ["trivy", "rootfs", "--quiet", "--scanners", "vuln", "--list-all-pkgs", "--format", "json", root],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    [result] = [one for one in found["Results"] if one["Class"] == "os-pkgs"]
    names = {one["Name"]: one["Version"] for one in result["Packages"]}
    return found["Metadata"]["OS"], names, [one["VulnerabilityID"] for one in result.get("Vulnerabilities", ())]


def test_an_ami_that_nobody_built_is_a_debian_12_as_trivy_sees_it(work, needs):
    needs("trivy")
    system, names, vulnerable = seen(roots.of_image("ami-of-debians"), work)
    assert system == {"Family": "debian", "Name": "12.12"}
    assert (set(names), vulnerable) == (set(debian.INSTALLED), [])


def test_an_upgrade_takes_what_the_archive_has_by_then(work, needs):
    needs("trivy")
    before = packages(roots.of_image("ami"))
    root = roots.copy(roots.of_image("ami"))
    run(root, UPGRADE, "apt-get install -y libssl3")
    assert packages(root) == {**before, "libssl3": debian.PACKAGES["libssl3"]}
    buildah.news(work, "libc6", "2.36-9+deb12u1")
    assert packages(root)["libc6"] == before["libc6"]  # nobody upgraded yet
    untouched = roots.copy(roots.of_image("ami"))
    run(root, UPGRADE)
    assert packages(root)["libc6"] == "2.36-9+deb12u1"
    assert packages(untouched) == before
    _, names, vulnerable = seen(root, work)
    assert (names["libc6"].startswith("2.36"), vulnerable) == (True, ["CVE-2023-4911"])
    # The archive is none of the machine's files: two that have the same packages are the same.
    assert (root / debian.LIST).read_text() == (untouched / debian.LIST).read_text()


def test_a_package_that_the_archive_has_not_is_refused(work):
    done = roots.run(roots.copy(roots.of_image("ami")), ["apt-get", "install", "-y", "nothing"], 60)
    assert (done.code, done.err) == (100, "E: Unable to locate package nothing\n")


def hardening(root):
    environment = {**os.environ, "TARGET": str(root.parent), "DPRA_LANGUAGE": "machine", "TOOL_FILE": root.name}
    rules = str(PACK / "check/rules/hardening.toml")
    done = subprocess.run(
        [sys.executable, "-I", "-B", str(PACK / "check/hardening.py"), rules], env=environment, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [(one["rule"], one["file"]) for one in found if one["severity"] != "low"]


def test_the_hardening_check_finds_nothing_in_it_and_what_a_component_does_wrong(work):
    root = roots.copy(roots.of_image("ami"))
    run(root, UPGRADE)
    assert hardening(root) == []
    run(root, "chmod 666 /etc/hosts", "echo 'PermitRootLogin yes' >> /etc/ssh/sshd_config")
    assert hardening(root) == [("world-writable-file", "etc/hosts"), ("ssh-root-login", "etc/ssh/sshd_config")]


def test_containers_and_machines_begin_with_the_same_packages_and_the_same_apt(work):
    root = roots.of_image("ami")
    assert (root / "usr/bin/apt-get").read_text() == debian.APT
    assert packages(root) == {name: debian.PACKAGES[name] for name in debian.INSTALLED}
    assert (root / "etc/os-release").read_text() == debian.FILES["etc/os-release"]


def test_a_file_keeps_its_capabilities_in_an_ami_and_in_what_is_started_from_it(work, needs):
    needs("setcap", "getcap")
    root = roots.copy(roots.of_image("ami"))
    run(root, "cp /usr/bin/cat /opt/cat", "setcap cap_net_raw=ep /opt/cat")
    assert run(roots.copy(root), "getcap /opt/cat") == "/opt/cat cap_net_raw=ep\n"
