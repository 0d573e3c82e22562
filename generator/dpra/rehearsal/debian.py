"""The small Debian that a rehearsal's images begin with, containers' and machines' alike: Debian's list of packages,
and an apt-get which takes them from an archive. Standard library only: it runs in the jobs, too."""

import json
from collections.abc import Mapping
from pathlib import Path

# Package and version, as the archive has them when a rehearsal begins.
PACKAGES = {
    "base-files": "12.4+deb12u12",
    "ca-certificates": "20230311+deb12u1",
    "libc6": "2.36-9+deb12u13",
    "libssl3": "3.0.17-1~deb12u2",
    "tzdata": "2025b-0+deb12u2",
}
SOURCES = {"libc6": "glibc", "libssl3": "openssl"}
INSTALLED = ("base-files", "libc6", "tzdata")
LIST = "usr/share/dpra/archive"  # in a root: what the archive has
APT = Path(__file__).with_name("apt-get.sh").read_text(encoding="utf-8")
FILES = {
    "etc/os-release": 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm), rehearsed"\n',
    "etc/debian_version": "12.12\n",
    "usr/bin/apt-get": APT,
    "usr/sbin/nologin": "#!/bin/sh\nexit 1\n",
}


def read(archive: Path) -> dict[str, str]:
    """Packages and versions of an archive; where it is not there yet, as a rehearsal begins."""
    if not archive.exists():
        return dict(PACKAGES)
    there: dict[str, str] = json.loads(archive.read_text(encoding="utf-8"))
    return there


def listed(packages: Mapping[str, str]) -> str:
    """An archive as apt-get reads it."""
    return "".join(f"{package} {version}\n" for package, version in packages.items())


def put(root: Path, packages: Mapping[str, str], files: Mapping[str, str]) -> None:
    """Make a root a Debian with these packages in its archive, some of them installed.

    Args:
        files: more of them, by their paths."""
    for file, text in {**FILES, **files, LIST: listed(packages), "var/lib/dpkg/status": status(packages)}.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text, encoding="utf-8")
        (root / file).chmod(0o755 if text.startswith("#!") else 0o644)
    (root / "etc/shadow").chmod(0o640)


def status(packages: Mapping[str, str]) -> str:
    """dpkg's list of what is installed, as apt-get.sh goes on with it."""
    return "".join(
        f"Package: {one}\nStatus: install ok installed\nArchitecture: amd64\nSource: {SOURCES.get(one, one)}\n"
        f"Version: {packages[one]}\nMaintainer: Debian\nDescription: {one}\n\n"
        for one in INSTALLED
    )
