"""Where distributions write down which packages are installed: paths, without the slash at the beginning."""

import re

DATABASES = {
    "apk": re.compile(r"(usr/)?lib/apk/db/installed"),
    "dpkg": re.compile(r"var/lib/dpkg/(status|status\.d/[^/]+)"),
    "pacman": re.compile(r"var/lib/pacman/local/[^/]+/desc"),
    "rpm": re.compile(
        r"(var/lib/rpm|usr/lib/sysimage/rpm|usr/share/rpm)/(Packages|Packages\.db|rpmdb\.sqlite)"
        r"|var/lib/rpmmanifest/container-manifest-[12]"
    ),
}


def kinds(path: str) -> list[str]:
    """The kinds of database that a path is one of."""
    return [kind for kind, pattern in DATABASES.items() if pattern.fullmatch(path)]
