"""The hardening check: every rule blocks an image that is wrong, and lets one pass that only looks like it."""

import importlib.util
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import archives
import pytest

PACK = Path(__file__).parents[2] / ".github" / "actions"
RULES = tomllib.loads((PACK / "check/rules/hardening.toml").read_text("utf-8"))["rules"]
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n"
PASSWD = b"root:x:0:0:root:/root:/sbin/nologin\napp:x:1000:1000::/app:/sbin/nologin\n"


def module(name: str, path: Path) -> Any:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec
        assert spec.loader
        sys.modules[name] = made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
    return sys.modules[name]


hardening = module("hardening", PACK / "check/hardening.py")
entry, folder, link = archives.entry, archives.folder, archives.link


def files(*entries: Any) -> Callable[[], Any]:
    """A picture of these files, and of accounts where they have none."""
    names = {made.name for made, _ in entries}
    accounts = [("etc/passwd", PASSWD, 0o644), ("etc/group", b"root:x:0:\nshadow:x:42:\napp:x:1000:\n", 0o644)]
    more = [entry(name, content, mode=mode) for name, content, mode in accounts if name not in names]
    return lambda: archives.Picture([archives.tar([*more, *entries])])


def says(history: str = "HEALTHCHECK CMD true", **settings: Any) -> Callable[[], Any]:
    """A picture whose configuration says this."""

    def made() -> Any:
        picture = files()()
        picture.settings = {**picture.settings, **settings}
        picture.history = [line for line in history.split("\n") if line]
        return picture

    return made


def shadow(root: str) -> Any:
    return entry("etc/shadow", f"root:{root}:19000:0:99999:7:::\n".encode(), mode=0o640, gid=42)


def account(line: str, *more: Any) -> Callable[[], Any]:
    return files(entry("etc/passwd", PASSWD + f"{line}\n".encode()), *more)


OTHERS = "b3BlbnNzaC1rZXk"
CAPABLE = {"SCHILY.xattr.security.capability": "\1"}
# Rule -> what it must find, and what looks like it and is not.
IMAGES: dict[str, tuple[list[Callable[[], Any]], list[Callable[[], Any]]]] = {
    "root-user": (
        [says(User=name) for name in ("", "root", "0", "0:1000", "00", "nobody-knows")]
        + [lambda: _with(account("toor:x:0:0::/:/x")(), User="toor:1000")],
        [says(User=name) for name in ("1000", "app", "1000:0", "app:root")],
    ),
    "secret-environment": (
        [says(Env=[f"{pair}"]) for pair in ("DB_PASSWORD=hunter2", "API_TOKEN_PROD=x1", "X=AKIAIOSFODNN7EXAMPLE")]
        + [says(Env=["A=1", "URL=postgres://me:hunter2@db/x"]), says(Env=["PGPASSWORD=a b"])],
        [
            says(Env=["PATH=/bin", "GPG_KEY=E3FF2839", "PASSWORD_FILE=/run/x", "TOKENIZERS_PARALLELISM=x"]),
            says(Env=["ALLOW_EMPTY_PASSWORD=yes", "PASSWORD=", "AWS_ACCESS_KEY_ID=x", "URL=https://x/y:z@v"]),
        ],
    ),
    "secret-history": (
        [
            says("|1 TOKEN=abc /bin/sh -c true"),
            says("RUN curl --password=hunter2 https://x"),
            says("ENV SECRET_KEY='a'"),
            says("RUN git clone https://me:ghp_012345678901234567890123456789012345@github.com/a/b"),
        ],
        [says("RUN TOKEN=$(cat /run/secrets/x) ./install"), says("ARG TOKEN"), says('RUN x --token="$TOKEN"')],
    ),
    "remote-add": (
        [
            says("ADD https://example.com/x.tgz / # buildkit"),
            says("/bin/sh -c #(nop) ADD --chown=1:1 git@x:y /z"),
            says(f"/bin/sh -c #(nop) ADD {'a' * 64} in /x.txt "),
        ],
        [says(f"/bin/sh -c #(nop) ADD file:{'a' * 64} in / "), says("RUN curl https://x # ADD to it")],
    ),
    "no-healthcheck": (
        [says(""), says("HEALTHCHECK NONE"), says("", Healthcheck={"Test": ["NONE"]})],
        [says("", Healthcheck={"Test": ["CMD", "true"]}), says('/bin/sh -c #(nop) HEALTHCHECK CMD ["true"]')],
    ),
    "privileged-port": ([says(ExposedPorts={"80/tcp": {}})], [says(ExposedPorts={"1024/tcp": {}, "8080/udp": {}})]),
    "missing-label": ([says(Labels={**archives.LABELS, "org.opencontainers.image.source": ""})], [says()]),
    "setuid": (
        [files(entry("bin/su", b"x", mode=mode)) for mode in (0o4755, 0o2755, 0o6000)],
        [files(entry("bin/su", b"x", mode=0o755), folder("var/mail", mode=0o2775), link("x", "bin/su"))],
    ),
    "file-capabilities": (
        [files(entry("bin/ping", b"x", pax_headers=CAPABLE))],
        [files(entry("bin/ping", b"x", pax_headers={"SCHILY.xattr.user.x": "y"}))],
    ),
    "world-writable-file": (
        [files(entry("app/x", mode=0o666)), files(entry("app/x", mode=0o602))],
        [files(entry("app/x", mode=0o664), link("app/y", "x", mode=0o777))],
    ),
    "world-writable-folder": (
        [files(folder("srv", mode=0o777)), files(folder(".", mode=0o777))],
        [files(folder("tmp", mode=0o1777), folder("srv", mode=0o775))],
    ),
    "unowned": (
        [files(entry("app/x", uid=1001)), files(folder("app", gid=77), entry("app/y", gid=77))],
        [files(entry("app/x", uid=1000, gid=42)), lambda: archives.Picture([archives.tar([entry("x", uid=65532)])])],
    ),
    "account-file-permissions": (
        [
            files(entry("etc/passwd", PASSWD, mode=0o646)),
            files(entry("etc/shadow", b"x:*", mode=0o644)),
            files(entry("etc/group", b"x:*", uid=1000)),
            files(entry("etc/shadow-", b"x:*", mode=0o640, gid=1000)),
            files(entry("usr/etc/s", b"x:*", mode=0o644), link("etc/shadow", "../usr/etc/s")),
        ],
        [files(shadow("*")), files(entry("etc/shadow", b"x:*", mode=0))],
    ),
    "empty-password": (
        [files(shadow("")), account("guest::1001:1001::/:/x"), account("a:x:1001:1001::/:/x", shadow(""))],
        [files(shadow("*")), files(shadow("!")), files(shadow("x"))],
    ),
    "password-hash": (
        [files(shadow("$6$salt$hash")), files(shadow("!$y$j9T$x")), files(shadow("aaJ/aB.cD3eF4"))],
        [files(shadow(said)) for said in ("*", "!", "!!", "x", "*LK*", "!*")],
    ),
    "second-root": (
        [account(f"toor:x:{number}:0::/:/x") for number in ("0", "00", "4294967296")],
        [account("toor:x:1001:0::/:/x")],
    ),
    "system-account-shell": (
        [
            account("www:x:33:33::/:/bin/sh", entry("bin/sh", b"x")),
            account("www:x:33:33::/:", entry("bin/sh", b"x")),
            account("www:x:33:33::/:/bin/sh", link("bin", "usr/bin"), entry("usr/bin/sh", b"x")),
        ],
        [
            account("www:x:33:33::/:/bin/sh"),
            account("www:x:33:33::/:/bin/false", entry("bin/false", b"x")),
            account("human:x:1001:1001::/:/bin/sh", entry("bin/sh", b"x")),
        ],
    ),
    "private-key": (
        [files(entry("app/anything", KEY.encode())), files(entry("a.pem", b"-----CERT\n" + KEY.encode()))],
        [
            files(entry("app/x.py", b"KEY = '-----BEGIN RSA PRIVATE KEY-----'\n")),
            files(entry("a", KEY.replace("PRIVATE", "PUBLIC").encode())),
        ],
    ),
    "authorized-keys": (
        [files(entry("root/.ssh/authorized_keys", b"ssh-ed25519 x"))],
        [files(entry("root/.ssh/authorized_keys", b""))],
    ),
    "credentials": (
        [files(entry(f"root/{name}", b"x")) for name in (".aws/credentials", ".netrc", ".docker/config.json")]
        + [files(entry(".git-credentials", b"x")), files(entry("home/a/.kube/config", b"x"))],
        [files(entry("root/.aws/config", b"x"), entry("root/netrc", b"x"), entry("root/.netrc", b""))],
    ),
    "trusted-hosts": (
        [files(entry("root/.rhosts", b"+")), files(entry("etc/hosts.equiv", b"+"))],
        [files(entry("etc/hosts", b"127.0.0.1"))],
    ),
    "git-folder": (
        [files(entry("app/.git/HEAD", b"ref: x")), files(entry(".git/HEAD", b"ref: x"))],
        [files(entry("app/.gitignore", b"x"), entry("app/git/HEAD", b"x"))],
    ),
    "remote-login": (
        [files(entry("usr/sbin/in.telnetd", b"x")), files(link("bin/telnetd", "busybox"))],
        [files(entry("usr/bin/telnet", b"x"))],
    ),
    "sshd": ([files(entry("usr/sbin/sshd", b"x"))], [files(entry("usr/bin/ssh", b"x"))]),
    "package-cache": (
        [
            files(entry("var/lib/apt/lists/deb_Packages.lz4", b"x")),
            files(entry("root/.cache/pip/http/x", b"x")),
            files(entry("var/cache/apk/APKINDEX.gz", b"x")),
        ],
        [files(entry("var/lib/apt/lists/lock", b""), folder("var/lib/apt/lists/partial"), folder("var/cache/apk"))],
    ),
}


def _with(picture: Any, **settings: Any) -> Any:
    picture.settings = {**picture.settings, **settings}
    return picture


def found(tmp_path: Path, *pictures: Any, kind: str = "oci") -> list[tuple[str, str, str]]:
    """Rule, severity and path of each finding, by way of the archive."""
    content = archives.docker(*pictures) if kind == "docker" else archives.oci(*pictures)
    (tmp_path / "image.tar").write_bytes(content)
    rules = [rule for rule in RULES if "container" in rule["kinds"]]
    return [(one.rule, one.severity, one.file) for one in hardening.looked_at(tmp_path, rules, "container")]


@pytest.mark.parametrize("rule", [rule["id"] for rule in RULES if "container" in rule["kinds"]])
def test_a_rule_finds_what_is_wrong_and_nothing_else(tmp_path: Path, rule: str) -> None:
    bad, good = IMAGES[rule]
    for number, made in enumerate(bad):
        assert rule in {one for one, _, _ in found(tmp_path, made())}, number
    for number, made in enumerate(good):
        assert rule not in {one for one, _, _ in found(tmp_path, made())}, number


def test_an_image_with_nothing_wrong_has_no_finding(tmp_path: Path) -> None:
    for kind in ("oci", "docker"):
        assert found(tmp_path, files(shadow("*"), entry("app/x", b"x", uid=1000))(), kind=kind) == []


def test_rules_say_where_they_are_from_and_are_all_tried() -> None:
    assert len({rule["id"] for rule in RULES}) == len(RULES) >= 20
    for rule in RULES:
        assert rule["check"] in hardening.CHECKS
        assert set(rule["kinds"]) <= set(hardening.KINDS)
        assert rule["source"]
        said = rule["severity"]
        of = [said] if isinstance(said, str) else [said[kind] for kind in rule["kinds"]]
        assert set(of) <= {"critical", "high", "medium", "low"}
    assert set(IMAGES) == {rule["id"] for rule in RULES if "container" in rule["kinds"]}


def test_what_is_reported_is_the_path_in_the_image_or_the_folder_that_is_too_much(tmp_path: Path) -> None:
    listed = found(
        tmp_path,
        files(
            *(entry(f"var/lib/apt/lists/{name}_Packages", b"x") for name in "abc"),
            *(folder("opt", uid=501), entry("opt/x", uid=501), entry("opt/y", uid=502)),
            entry("bin/su x", b"x", mode=0o4755),
        )(),
    )
    assert sorted(listed) == [
        ("package-cache", "low", "var/lib/apt/lists"),
        ("setuid", "medium", "bin/su x"),
        ("unowned", "low", "opt"),
        ("unowned", "low", "opt/y"),
    ]


def package(job: Any, content: bytes, name: str = "image.tar") -> None:
    with zipfile.ZipFile(job.workspace / "package.zip", "w") as archive:
        archive.writestr(name, content)


def check(job: Any, **inputs: str) -> Any:
    return job.use("check", **{"action": "hardening-check", "language": "container", **inputs})


def test_several_platforms_are_one_finding_with_their_names(job: Any) -> None:
    suid, plain = (files(entry("bin/su", b"x", mode=mode)) for mode in (0o4755, 0o755))
    package(job, archives.oci(suid(), suid()))
    ran = check(job)
    assert (ran.code, ran.record["result"], len(ran.errors)) == (1, "fail", 1), ran.out
    assert "file=bin/su," in ran.errors[0]
    assert "in linux/amd64, linux/arm64" in ran.errors[0]

    package(job, archives.oci(plain(), suid()))  # only the second platform's has it
    ran = check(job)
    assert (ran.code, len(ran.errors)) == (1, 1), ran.out
    assert ran.errors[0].endswith("in linux/arm64")

    package(job, archives.oci(plain(), plain()))
    ran = check(job)
    assert (ran.code, ran.record["result"]) == (0, "pass"), ran.out


def test_a_finding_can_be_waived_by_its_path(job: Any) -> None:
    package(job, archives.docker(files(*(entry(f"bin/{name}", b"x", mode=0o4755) for name in ("su", "sudo")))()))
    waiver = {"rule": "setuid", "path": "bin/su", "reason": "needed", "owner": "@acme", "until": "2999-01-01"}
    ran = check(job, waivers=json.dumps([waiver]))
    assert (ran.code, len(ran.errors)) == (1, 1), ran.out
    assert "file=bin/sudo," in ran.errors[0]


def test_no_secret_is_quoted(job: Any) -> None:
    secret = "hunter2hunter2"
    picture = says(f"|1 TOKEN={secret} sh\nADD https://me:{secret}@x/y?key={secret} /z", Env=[f"PASSWORD={secret}"])()
    picture.layers.append(archives.tar([shadow(f"$6${secret}"), entry("key", (KEY + secret).encode())]))
    package(job, archives.oci(picture))
    ran = check(job)
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    rules = {one["rule"] for one in json.loads(next(job.evidence.glob("*.findings.json")).read_text())}
    assert {"secret-history", "secret-environment", "remote-add", "private-key", "password-hash"} <= rules
    assert secret not in ran.out + ran.summary
    assert not [path for path in job.evidence.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


def test_what_cannot_be_looked_at_is_an_error_and_no_pass(job: Any) -> None:
    good = files()()
    empty = archives.Picture([archives.tar([])])
    for content in (b"broken", archives.oci(good)[:3000], archives.oci(good, empty), archives.oci(empty)):
        package(job, content)
        ran = check(job)
        assert (ran.code, ran.record["result"]) == (1, "error"), ran.out
    package(job, archives.oci(good), "image.txt")
    ran = check(job)
    assert (ran.code, ran.record["result"]) == (1, "error"), ran.out
    assert "there is no image" in ran.out


def test_the_archive_of_a_machine_is_held_against_the_rules_of_machines(job: Any) -> None:
    package(job, archives.oci(files(folder("usr"), entry("usr/bin/su", b"x", mode=0o4755))()))
    ran = check(job, language="machine", fail_on="low")
    assert ran.code == 0, ran.out  # a container would have no user, no HEALTHCHECK, and setuid
    bad = files(
        folder("usr"), entry("usr/bin/mine", b"x", mode=0o4755), entry("etc/ssh/sshd_config", b"PermitRootLogin yes")
    )
    package(job, archives.oci(bad()))
    ran = check(job, language="machine")
    assert ran.code == 1
    told = (job.evidence / "hardening-check.findings.json").read_text()
    assert "unknown-setuid" in told
    assert "ssh-root-login" in told
    package(job, archives.oci(files(entry("bin/x", b"x"))()))
    ran = check(job, language="machine")
    assert (ran.code, ran.record["result"]) == (1, "error")
    assert "has no files of a machine" in ran.out


def test_names_of_an_image_are_only_data(job: Any, inert: Any, hostile: dict[str, str]) -> None:
    names = [f"bin/{text.replace('/', '_')[:80]}" for text in hostile.values()]
    package(job, archives.oci(files(*(entry(name, b"x", mode=0o4755) for name in names))()))
    ran = check(job)
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    inert(job, ran)


# ---- What a builder writes

BAD = """FROM scratch
ARG TOKEN
ADD {url}/x.txt /x.txt
COPY busybox /bin/sh
ENV DB_PASSWORD=hunter2
EXPOSE 22
RUN ["/bin/sh", "-c", "mkdir -p /srv/x /etc; chmod 777 /srv/x; chmod 4755 /bin/sh; echo toor::0:0::/: > /etc/passwd"]
RUN true $TOKEN
"""
GOOD = """FROM scratch
COPY busybox /bin/sh
RUN ["/bin/sh", "-c", "mkdir -p /etc /app; echo app:x:1000:1000::/app:/bin/false > /etc/passwd; chown 1000:1000 /app"]
LABEL org.opencontainers.image.revision=x org.opencontainers.image.source=x org.opencontainers.image.version=1
HEALTHCHECK CMD ["/bin/sh", "-c", "true"]
EXPOSE 8080
USER app
"""


@pytest.mark.parametrize("form", ["oci", "docker"])
def test_what_buildah_builds_of_a_dockerfile_is_understood(job: Any, needs: Any, web: Any, form: str) -> None:
    needs("container")
    web.answers = [(200, {}, b"content")]
    place = job.root / "built"
    place.mkdir()
    (place / "busybox").write_bytes(Path("/bin/busybox").read_bytes())
    (place / "busybox").chmod(0o755)
    ran = {}
    for which, text in {"bad": BAD.format(url=web.url), "good": GOOD}.items():
        (place / which).write_text(text)
        store = ["buildah", "--root", f"{place}/root", "--runroot", f"{place}/run", "--storage-driver", "vfs"]
        build = ["bud", "--isolation", "chroot", "--layers", "--format", form, "--build-arg", "TOKEN=abc"]
        for words in ([*build, "-t", which, "-f", which, "."], ["push", which, f"{form}-archive:{place}/{which}.tar"]):
            done = subprocess.run([*store, *words], cwd=place, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        package(job, (place / f"{which}.tar").read_bytes())
        ran[which] = check(job, fail_on="any")
        listed = json.loads(next(job.evidence.glob("*.findings.json")).read_text())
        ran[f"{which} rules"] = {one["rule"] for one in listed}
    assert ran["bad"].code == 1
    wanted = {"root-user", "secret-environment", "secret-history", "remote-add", "privileged-port", "no-healthcheck"}
    wanted |= {"missing-label", "setuid", "world-writable-folder", "empty-password", "second-root"}
    assert ran["bad rules"] == wanted
    assert (ran["good"].code, ran["good rules"]) == (0, set()), ran["good"].out


# ---- Machines


def machine(root: Path, content: dict[str, tuple[str, int]]) -> None:
    whole = {"etc/passwd": ("root:*:0:0:root:/root:/sbin/nologin\n", 0o644), "usr/bin/ls": ("x", 0o755), **content}
    for name, (text, mode) in whole.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)


MACHINES: dict[str, tuple[dict[str, tuple[str, int]], dict[str, tuple[str, int]]]] = {
    "unknown-setuid": (
        {"usr/bin/nmap": ("x", 0o4755)},
        {"usr/bin/sudo": ("x", 0o4755), "usr/bin/ssh-agent": ("x", 0o2755)},
    ),
    "ssh-root-login": (
        {"etc/ssh/sshd_config.d/x.conf": ("Port 22\n permitrootlogin yes\n", 0o600)},
        {"etc/ssh/sshd_config": ("#PermitRootLogin yes\nPermitRootLogin no\n", 0o600), "usr/sbin/sshd": ("x", 0o755)},
    ),
    "ssh-empty-passwords": (
        {"etc/ssh/sshd_config": ("PermitEmptyPasswords=yes\n", 0o600)},
        {"etc/ssh/sshd_config": ("PermitEmptyPasswords no\n", 0o600)},
    ),
    "private-key": ({"etc/ssh/ssh_host_ed25519_key": (KEY, 0o600)}, {"etc/ssh/ssh_host_ed25519_key.pub": ("x", 0o644)}),
    "second-root": ({"etc/passwd": ("root:*:0:0::/:/x\ntoor:*:0:0::/:/x\n", 0o644)}, {}),
    "world-writable-file": ({"etc/motd": ("x", 0o666)}, {"etc/motd": ("x", 0o644)}),
}


@pytest.mark.parametrize("rule", MACHINES)
def test_the_root_file_system_of_a_machine_is_a_folder(job: Any, rule: str) -> None:
    for which, content in zip(("bad", "good"), MACHINES[rule], strict=True):
        machine(job.workspace / which, content)
        ran = check(job, language="machine", target=which)
        listed = json.loads(next(job.evidence.glob("*.findings.json")).read_text())
        mine = [one for one in listed if one["rule"] == rule]
        assert bool(mine) == (which == "bad"), listed
        if which == "bad":
            assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
            assert mine[0]["file"] in content
        elif os.geteuid() == 0:  # else whoever runs this owns /etc/passwd
            assert (ran.code, ran.record["result"]) == (0, "pass"), ran.out


def test_a_folder_that_is_no_root_file_system_is_an_error(job: Any) -> None:
    job.write("readme.txt", "x")
    ran = check(job, language="machine")
    assert (ran.code, ran.record["result"]) == (1, "error"), ran.out
    machine(job.workspace / "deep/root", {})
    assert check(job, language="machine", file="deep/root", fail_on="critical").code == 0
