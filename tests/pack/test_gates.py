"""Each gate in each language, with the real tool: the bad is blocked, the good passes. gates.py has the rows."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import gates
import pytest


def together() -> dict[str, list[Any]]:
    """The cells of one tool of one gate, for one start of it.

    Alone stay kinds of infrastructure, of which a check knows one at a time, and what is packed: it is judged whole."""
    groups: dict[str, list[Any]] = {}
    for cell in gates.CELLS:
        alone = (cell.language,) if cell.packed or cell.gate == "policy as code" else ()
        groups.setdefault("-".join((cell.gate, *alone, cell.tool)).replace(" ", "-"), []).append(cell)
    return groups


GROUPS = together()


def check(job: Any, cells: list[Any], which: str) -> Any:
    """The action, with the files of each cell in a folder that is called like its language."""
    shutil.rmtree(job.workspace)
    job.workspace.mkdir()
    first = cells[0]
    files = {f"{cell.language}/{name}": text for cell in cells for name, text in getattr(cell, which).items()}
    if len(cells) == 1:
        files = getattr(first, which)
    if first.packed:
        with zipfile.ZipFile(job.workspace / "package.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        for name, content in files.items():
            job.write(name, content)
    languages = dict.fromkeys(gates.AS.get(cell.language, cell.language) for cell in cells)
    inputs = {"action": gates.ACTIONS[first.gate], "tool": first.tool, "language": " ".join(languages)}
    return job.use("check", **inputs, **first.inputs)


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_the_bad_is_blocked_and_the_good_passes(job: Any, needs: Any, group: str) -> None:
    cells = GROUPS[group]
    for cell in cells:
        needs(cell.needs)
        assert (cell.packed, cell.inputs) == (cells[0].packed, cells[0].inputs)

    bad = check(job, cells, "bad")

    assert (bad.code, bad.record["result"], bad.record["tool"]) == (1, "fail", cells[0].tool), bad.out
    listed = json.loads(next(job.evidence.glob("*.findings.json")).read_text())
    found = [one for one in listed if one["severity"] in ("critical", "high", "medium")]  # each blocks alone
    for cell in cells:
        folder = f"{cell.language}/" if len(cells) > 1 else ""
        assert cell.rule in {one["rule"] for one in found if one["file"].startswith(folder)}, cell

    good = check(job, cells, "good")

    assert (good.code, good.record["result"]) == (0, "pass"), good.out


def test_a_default_tool_is_known_for_every_gate_and_language_that_the_readme_claims() -> None:
    from dpra import check_tools

    for cell in gates.CELLS:
        language = gates.AS.get(cell.language, cell.language)
        tools = [tool for tool in check_tools.every() if tool.fits(gates.ACTIONS[cell.gate], language, default=True)]
        assert len(tools) == 1, (cell.gate, cell.language)
        of_it = {one.tool for one in gates.CELLS if (one.gate, one.language) == (cell.gate, cell.language)}
        assert tools[0].name in of_it, f"the default tool {tools[0].name} was not seen to block"


# ---- Images, advisory services, infrastructure tests


def image(folder: Path, musl: str) -> Path:
    """A container image as `docker save` writes it: Alpine 3.9 with one package."""
    import hashlib
    import io
    import tarfile

    def tar(files: dict[str, bytes]) -> bytes:
        held = io.BytesIO()
        with tarfile.open(fileobj=held, mode="w") as archive:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return held.getvalue()

    installed = f"P:musl\nV:{musl}\nA:x86_64\nL:MIT\no:musl\n\n"
    layer = tar({"etc/alpine-release": b"3.9.4\n", "lib/apk/db/installed": installed.encode()})
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
            "config": {},
        }
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": name, "RepoTags": ["shop:1"], "Layers": ["layer.tar"]}]).encode()
    whole = tar({"manifest.json": manifest, name: config, "layer.tar": layer})
    with zipfile.ZipFile(folder / "package.zip", "w") as archive:
        archive.writestr("image.tar", whole)
    return folder


def test_a_vulnerable_image_is_blocked_and_a_mended_one_passes(job: Any) -> None:
    image(job.workspace, "1.1.20-r4")
    ran = job.use("check", action="vulnerability-assessment", language="container")
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    assert "CVE-2019-14697" in ran.errors[0]

    image(job.workspace, "1.1.20-r5")
    ran = job.use("check", action="vulnerability-assessment", language="container")
    assert (ran.code, ran.record["result"]) == (0, "pass"), ran.out

    ran = job.use("check", action="sbom", language="container")
    assert (ran.code, ran.record["result"]) == (0, "pass"), ran.out
    assert "musl" in (job.evidence / "sbom.cdx.json").read_text()

    with zipfile.ZipFile(job.workspace / "package.zip", "w") as archive:
        archive.writestr("image.tar", "broken")
    for action in ("vulnerability-assessment", "sbom"):
        ran = job.use("check", action=action, language="container")
        assert (ran.code, ran.record["result"]) == (1, "error"), ran.out


@pytest.mark.parametrize("vulnerable", [True, False])
def test_pip_audit_asks_an_advisory_service(job: Any, web: Any, vulnerable: bool) -> None:
    found = {"id": "PYSEC-2018-28", "aliases": [], "details": "d", "affected": []} if vulnerable else None
    found = found and found | {
        "affected": [
            {
                "package": {"name": "six", "ecosystem": "PyPI"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.17.0"}]}],
                "versions": ["1.16.0"],
            }
        ]
    }
    web.answers = [
        (200, {"Content-Type": "application/json"}, json.dumps({"vulns": [found] if found else []}).encode())
    ]
    job.write("requirements.txt", "six==1.16.0\n")
    job.env["DPRA_PIP_AUDIT"] = f"--vulnerability-service osv --osv-url {web.url}/v1/query --no-deps --disable-pip"
    ran = job.use("check", action="sca", language="python", tool="pip-audit")
    assert (ran.code, ran.record["result"]) == ((1, "fail") if vulnerable else (0, "pass")), ran.out
    assert len(web.requests) >= 1


def test_a_package_that_the_index_does_not_have_is_an_error(job: Any) -> None:
    """pip-audit itself says "No known vulnerabilities", without --strict."""
    job.write("requirements.txt", "six==0.0.1\n")
    job.env["DPRA_PIP_AUDIT"] = "--no-deps --disable-pip"
    ran = job.use("check", action="sca", language="python", tool="pip-audit")
    assert (ran.code, ran.record["result"]) == (1, "error")
    assert "could not be audited" in ran.out


@pytest.mark.parametrize("vulnerable", [True, False])
def test_npm_audit_asks_its_registry(job: Any, web: Any, needs: Any, vulnerable: bool) -> None:
    needs("npm")
    advisory = {"id": 1, "url": "https://github.com/advisories/GHSA-jf85-cpcp-j695", "title": "Prototype Pollution"}
    advisory |= {"severity": "critical", "vulnerable_versions": "<4.17.12"}
    answer = {"lodash": [advisory]} if vulnerable else {}
    web.answers = [(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())]
    web.get = (404, {}, b"{}")
    for name, content in gates.lock("4.17.11").items():
        job.write(name, content)
    job.env["DPRA_NPM_REGISTRY"] = web.url
    ran = job.use("check", action="sca", language="node", tool="npm-audit")
    assert (ran.code, ran.record["result"]) == ((1, "fail") if vulnerable else (0, "pass")), ran.out


GUARD = "rule named { Resources.*[ Type == 'AWS::SSM::Parameter' ].Properties.Name exists }\n"
GUARD_TEST = """- name: {name}
  input: {{Resources: {{P: {{Type: "AWS::SSM::Parameter", Properties: {{Type: String}}}}}}}}
  expectations: {{rules: {{named: {expected}}}}}
"""


@pytest.mark.parametrize("good", [True, False])
def test_the_rules_of_a_repository_are_tested_by_cfn_guard(job: Any, good: bool) -> None:
    job.use("check", action="policy-as-code", tool="cfn-guard", language="cloudformation")  # installs it
    guards = Path.home().glob(".cache/dpra/cfn-guard/*/package/bin/ubuntu/x86_64/cfn-guard")
    guard = max(guards, key=lambda path: path.stat().st_mtime)
    job.write("policies/named.guard", GUARD)
    job.write("policies/tests/named.yml", GUARD_TEST.format(name="unnamed", expected="FAIL" if good else "PASS"))
    command = f"{guard} test -r policies/named.guard -t policies/tests/named.yml -o junit > $JUNIT_FILE"
    ran = job.use("test", action="iac-unit-tests", command=command)
    assert (ran.code, ran.record["result"]) == ((0, "pass") if good else (1, "fail")), ran.out


@pytest.mark.parametrize("good", [True, False])
def test_terraform_tests_its_modules(job: Any, needs: Any, good: bool) -> None:
    needs("terraform")
    job.write("m.tf", 'variable "name" {\n  type = string\n}\noutput "shown" {\n  value = "shop-${var.name}"\n}\n')
    wanted = "shop-a" if good else "a"
    job.write(
        "tests/m.tftest.hcl",
        'variables {\n  name = "a"\n}\nrun "named" {\n  command = plan\n  assert {\n'
        f'    condition     = output.shown == "{wanted}"\n    error_message = "wrong name"\n  }}\n}}\n',
    )
    command = 'terraform init -backend=false >/dev/null && terraform test -junit-xml="$JUNIT_FILE"'
    ran = job.use("test", action="iac-unit-tests", command=command)
    assert (ran.code, ran.record["result"]) == ((0, "pass") if good else (1, "fail")), ran.out
