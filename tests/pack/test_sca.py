"""Each manifest and each line of it is checked, or named. The tools are real."""

import json
from pathlib import Path
from typing import Any

import pytest

LOCK = {
    "name": "shop",
    "lockfileVersion": 3,
    "packages": {
        "": {"name": "shop", "dependencies": {"lodash": "4.17.21"}, "devDependencies": {"old": "npm:lodash@4.17.11"}},
        "node_modules/lodash": {"version": "4.17.21", "license": "MIT"},
    },
}
PACKAGE = '{"name": "shop", "dependencies": {"lodash": "^4.17.0"}}'


def files(job: Any, content: dict[str, str]) -> None:
    for name, text in content.items():
        job.write(name, text)


def found(job: Any) -> set[tuple[str, str, int]]:
    listed = json.loads((job.evidence / "sca.findings.json").read_text())
    return {(one["rule"], one["file"], one["line"]) for one in listed}


@pytest.mark.parametrize("tool", ["trivy", "pip-audit"])
def test_each_line_of_each_requirements_file_counts(job: Any, web: Any, tool: str) -> None:
    """trivy itself passes over all of these; pip-audit would build what they name."""
    web.answers = [(200, {"Content-Type": "application/json"}, b'{"vulns": []}')]
    job.env["DPRA_PIP_AUDIT"] = f"--vulnerability-service osv --osv-url {web.url}/v1/query"
    bad = [
        "requests",
        "requests>=2",
        "django==2.*",
        "-e .",
        "./evil",
        "git+https://x.example/y.git",
        "x @ https://x/y.whl",
    ]
    bad += [
        "-r other.txt",
        "--requirement=../out.txt",
        "-c https://x.example/c.txt",
        "${NAME}==1.0",
        "--unknown",
        "a==1,<2",
    ]
    bad += ["../evil-1.0.tar.gz", "y~=1.0"]
    good = ["six==1.17.0", "# a comment", "", "-r base-requirements.txt", "idna == 3.10 ; python_version > '3'  # why"]
    good += ["--index-url https://pypi.org/simple", "attrs[x]==25.1.0 \\\n    --hash=sha256:" + "a" * 64]
    files(job, {"requirements.txt": "\n".join([*bad, *good]), "base-requirements.txt": "certifi==2025.1.31\n"})
    files(job, {"other.txt": "urllib3==1.24\n", "src/requirements-dev.txt": "pytest\n"})
    job.write("evil/setup.py", f"open({str(job.root / 'pwned')!r}, 'w')\n")
    job.write("setup.py", f"open({str(job.root / 'pwned')!r}, 'w')\n")

    ran = job.use("check", action="sca", language="python", tool=tool, development="true")

    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    named = {("not-checked", "requirements.txt", number) for number in range(1, len(bad) + 1)}
    assert found(job) == named | {("not-checked", "src/requirements-dev.txt", 1)}
    assert not (job.root / "pwned").exists()
    waiver = {"rule": "not-checked", "path": "**", "reason": "known", "owner": "@a/b", "until": "2999-01-01"}
    waivers = json.dumps([waiver | {"path": path} for path in ("requirements.txt", "src/*")])
    assert job.use("check", action="sca", tool=tool, development="true", waivers=waivers).code == 0


@pytest.mark.parametrize(
    "content",
    [
        {"package.json": PACKAGE},
        {"package.json": PACKAGE, "yarn.lock": "", "package-lock.json": json.dumps(LOCK)},
        {"package.json": PACKAGE, "npm-shrinkwrap.json": json.dumps(LOCK), "package-lock.json": json.dumps(LOCK)},
        {"package.json": PACKAGE.replace("lodash", "left-pad"), "package-lock.json": json.dumps(LOCK)},
        {"package.json": PACKAGE.replace("^4.17.0", "github:x/lodash"), "package-lock.json": json.dumps(LOCK)},
        {"package.json": PACKAGE.replace("^4.17.0", "file:../lodash"), "package-lock.json": json.dumps(LOCK)},
        {"package.json": "{", "package-lock.json": json.dumps(LOCK)},
        {"tools/package.json": PACKAGE, "package-lock.json": json.dumps(LOCK), "package.json": PACKAGE},
        {"package.json": '{"devDependencies": {"x": "1"}}'},
        {"pyproject.toml": '[project]\nname = "a"\nversion = "1"\ndependencies = ["six"]\n'},
        {"pyproject.toml": '[tool.poetry.dependencies]\npython = "*"\nsix = "*"\n'},
        {"pyproject.toml": '[project]\ndependencies = ["django"]\n', "requirements.txt": "six==1.17.0\n"},
        {"pyproject.toml": "broken ["},
        {"setup.py": "setup(install_requires=['six'])\n"},
        {"setup.cfg": "[options]\ninstall_requires = six\n"},
        {"Pipfile": "[packages]\nsix = '*'\n"},
        {"build.gradle": "dependencies {\n  implementation 'a:b:1'\n}\n"},
        {"src/build.gradle.kts": "dependencies {\n}\n"},
        {"Shop.csproj": '<Project><ItemGroup><PackageReference Include="x" /></ItemGroup></Project>'},
        {"Gemfile": "gem 'rails'\n"},
        {"composer.json": '{"require": {"a/b": "*"}}'},
        {"Cargo.toml": '[dependencies]\nserde = "1"\n'},
        {"go.mod": "module a\n\ngo 1.21\n\nrequire b.example/b v1.0.0\n\nreplace b.example/b => ../b\n"},
    ],
    ids=lambda content: "-".join(content),
)
def test_a_manifest_that_no_lock_covers_blocks_by_name_beside_one_that_is_read(
    job: Any, content: dict[str, str]
) -> None:
    """trivy itself passes: one readable line anywhere satisfied the gate."""
    files(job, {"apart/requirements.txt": "six==1.17.0\n", **content})
    ran = job.use("check", action="sca", language="python", tool="trivy", development="true")
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    assert {(rule, file) for rule, file, _ in found(job)} == {("not-checked", next(iter(content)))}


@pytest.mark.parametrize(
    "content",
    [
        {"package.json": PACKAGE, "package-lock.json": json.dumps(LOCK)},
        {"package.json": PACKAGE, "npm-shrinkwrap.json": json.dumps(LOCK)},
        {
            "package.json": '{"workspaces": ["packages/*"], "dependencies": {"inner": "*", "lodash": "4"}}',
            "packages/inner/package.json": PACKAGE.replace("shop", "inner"),
            "package-lock.json": json.dumps(LOCK),
        },
        {"package.json": '{"name": "shop"}', "x/package.json": "{}", "requirements.txt": "six==1.17.0\n"},
        {"pyproject.toml": '[project]\ndependencies = ["Six>=1"]\n', "requirements.txt": "six==1.17.0\n"},
        {"pyproject.toml": "[tool.ruff]\n", "requirements.txt": "\ufeffsix==1.17.0\n"},
        {"go.mod": "module a\n\ngo 1.21\n\nrequire golang.org/x/text v0.14.0\n"},
        {"node_modules/x/package.json": PACKAGE, "requirements.txt": "six==1.17.0\n"},
    ],
    ids=lambda content: "-".join(content),
)
def test_a_manifest_with_its_lock_passes(job: Any, content: dict[str, str]) -> None:
    files(job, content)
    ran = job.use("check", action="sca", language="python", tool="trivy")
    assert (ran.code, ran.record["result"]) == (0, "pass"), ran.out


@pytest.mark.parametrize("name", ["requirements-dev.txt", "test-requirements.txt", "requirements/docs.txt"])
def test_requirements_for_development_count_where_the_key_says_so(job: Any, name: str) -> None:
    files(job, {"requirements.txt": "six==1.16.0\n", name: "requests==2.19.0\npytest>=8\n"})
    ran = job.use("check", action="sca", language="python", tool="trivy")
    assert (ran.code, ran.record["result"]) == (0, "pass"), ran.out
    ran = job.use("check", action="sca", language="python", tool="trivy", development="true")
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    assert {("CVE-2018-18074", name, 1), ("not-checked", name, 2)} <= found(job)


def test_dependencies_for_development_count_where_the_key_says_so(job: Any) -> None:
    lock = {**LOCK, "packages": {"node_modules/lodash": {"version": "4.17.11", "dev": True}}}
    files(job, {"package.json": '{"devDependencies": {"lodash": "4"}}', "package-lock.json": json.dumps(lock)})
    ran = job.use("check", action="sca", language="node", tool="trivy", development="true")
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    assert ("CVE-2019-10744", "package-lock.json") in {(rule, file) for rule, file, _ in found(job)}
    ran = job.use("check", action="sca", language="node", tool="trivy")
    assert (ran.code, ran.record["result"]) == (0, "pass"), ran.out
    assert "dependencies for development: left out" in ran.out


def test_npm_audit_asks_no_other_registry_than_it_is_told(job: Any, web: Any, needs: Any) -> None:
    needs("npm")
    answer = {
        "lodash": [{"id": 1, "url": "https://x/GHSA-1", "title": "x", "severity": "high", "vulnerable_versions": "*"}]
    }
    web.answers, web.get = [(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())], (404, {}, b"{}")
    job.env["DPRA_NPM_REGISTRY"] = web.url
    told = "registry=http://127.0.0.1:9/\naudit-level=critical\nomit=dev\nignore-scripts=false\nglobalconfig=x\n"
    files(job, {".npmrc": told, "package.json": PACKAGE, "package-lock.json": json.dumps(LOCK), "x": told})
    (job.root / "home" / ".npmrc").write_text(told)
    (job.workspace / "evil.js").write_text(f"require('fs').writeFileSync({str(job.root / 'pwned')!r}, '')\n")
    job.env |= {"NPM_CONFIG_REGISTRY": "http://127.0.0.1:9/", "npm_config_registry": "http://127.0.0.1:9/"}
    job.env["NODE_OPTIONS"] = f"--require {job.workspace}/evil.js"
    ran = job.use("check", action="sca", language="node", tool="npm-audit")
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    assert ("GHSA-1", "package-lock.json") in {(rule, file) for rule, file, _ in found(job)}
    assert not (job.root / "pwned").exists()


def test_neither_files_nor_the_environment_switch_trivy_off(job: Any) -> None:
    job.write("requirements.txt", "requests==2.19.1\n")
    for name in (".trivyignore", ".trivyignore.yaml", "src/.trivyignore"):
        job.write(
            name, "CVE-2018-18074\n" if not name.endswith("yaml") else "vulnerabilities: [{id: CVE-2018-18074}]\n"
        )
    job.write("trivy.yaml", "severity: [LOW]\nscan:\n  skip-dirs: ['**']\n  skip-files: ['**/*']\n")
    for name in ("json", "re", "fnmatch", "files", "sarif", "tomllib"):
        job.write(f"{name}.py", "import os\nos._exit(0)\n")
    job.env |= {"TRIVY_SEVERITY": "LOW", "TRIVY_SKIP_DIRS": "**", "TRIVY_IGNOREFILE": ".trivyignore"}
    job.env |= {
        "TRIVY_CONFIG": "trivy.yaml",
        "TRIVY_EXIT_CODE": "0",
        "TRIVY_PKG_TYPES": "os",
        "TRIVY_SCANNERS": "secret",
    }
    job.env |= {"PYTHONPATH": str(job.workspace), "DEVELOPMENT": "false", "TRIVY_IGNORE_STATUS": "fixed"}
    ran = job.use("check", action="sca", language="python", tool="trivy")
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    assert ("CVE-2018-18074", "requirements.txt") in {(rule, file) for rule, file, _ in found(job)}


def test_neither_files_nor_the_environment_switch_pip_audit_off(job: Any, web: Any) -> None:
    weak = {"package": {"name": "six", "ecosystem": "PyPI"}, "versions": ["1.16.0"], "ranges": []}
    said = {"vulns": [{"id": "PYSEC-1", "aliases": [], "details": "d", "affected": [weak]}]}
    web.answers = [(200, {"Content-Type": "application/json"}, json.dumps(said).encode())]
    job.env["DPRA_PIP_AUDIT"] = f"--vulnerability-service osv --osv-url {web.url}/v1/query"
    for name in ("pip.conf", "setup.cfg", "pyproject.toml", ".netrc"):
        job.write(name, "[global]\nindex-url = http://127.0.0.1:9/\n")
    for name in ("json", "re", "files", "manifests", "pip", "pip_audit", "sitecustomize", "usercustomize"):
        job.write(f"{name}.py", "import os\nos._exit(0)\n")
    job.write("requirements.txt", "six==1.16.0\n")
    job.env |= {
        "PYTHONPATH": str(job.workspace),
        "PIP_CONFIG_FILE": "pip.conf",
        "PIP_AUDIT_OUTPUT": str(job.root / "none"),
    }
    job.env |= {"PIP_AUDIT_VULNERABILITY_SERVICE": "pypi", "PIP_AUDIT_FORMAT": "columns", "PIP_AUDIT_DESC": "off"}
    del job.env["PIP_CONFIG_FILE"]  # pip may have to install pip-audit, from where this machine says
    ran = job.use("check", action="sca", language="python", tool="pip-audit")
    assert (ran.code, ran.record["result"]) == (1, "fail"), ran.out
    assert found(job) == {("PYSEC-1", "requirements.txt", 1)}


@pytest.mark.parametrize("tool", ["trivy", "syft"])
def test_neither_files_nor_the_environment_empty_an_sbom(job: Any, tool: str) -> None:
    job.write("requirements.txt", "six==1.16.0\n")
    nothing = "exclude: ['**']\ncatalogers: [none]\nselect-catalogers: ['-python']\nscan: {skip-files: ['**']}\n"
    for name in (".syft.yaml", ".syft/config.yaml", "syft.yaml", "trivy.yaml"):
        job.write(name, nothing)
    job.env |= {"SYFT_EXCLUDE": "**", "SYFT_CONFIG": "syft.yaml", "TRIVY_SKIP_FILES": "**", "XDG_CONFIG_HOME": "."}
    ran = job.use("check", action="sbom", language="python", tool=tool)
    assert (ran.code, ran.record["result"]) == (0, "pass"), ran.out
    assert "six" in Path(job.evidence / "sbom.cdx.json").read_text()
