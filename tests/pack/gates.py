"""Every gate in every language: an input that must be blocked and one that must pass, for each tool.

tests/pack/test_gates.py runs each row with the real tool; the README's table is made from the rows. `UNPROVEN` has the
tools that could not be executed where these tests run, and why."""

import io
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import archives


@dataclass(frozen=True)
class Cell:
    """One tool of one gate in one language. `bad` and `good` are files by name; `rule` is what the tool calls it."""

    gate: str
    language: str
    tool: str
    bad: dict[str, str | bytes]
    good: dict[str, str | bytes]
    rule: str
    inputs: dict[str, str] = field(default_factory=dict)
    packed: bool = False  # the files lie in a release, as dpra package makes it
    needs: str = ""  # a program of the machine


PYTHON_SQL = "def find(cursor, name):\n    return cursor.execute(\"SELECT * FROM users WHERE name = '%s'\" % name)\n"
PYTHON_OK = 'def find(cursor, name):\n    return cursor.execute("SELECT * FROM users WHERE name = ?", (name,))\n'
NODE_SQL = "export const find = (db, name) => db.query(`SELECT * FROM users WHERE name = '${name}'`);\n"
NODE_OK = 'export const find = (db, name) => db.query("SELECT * FROM users WHERE name = $1", [name]);\n'
TS_SQL = "export const find = (db: Db, name: string) => db.query(`SELECT * FROM users WHERE name = '${name}'`);\n"
TS_OK = 'export const find = (db: Db, name: string) => db.query("SELECT * FROM users WHERE name = $1", [name]);\n'
JAVA_SQL = """import java.sql.Statement;

class Users {
    Object find(Statement statement, String name) throws Exception {
        return statement.executeQuery("SELECT * FROM users WHERE name = '" + name + "'");
    }
}
"""
JAVA_OK = "class Users {\n    int count() {\n        return 1;\n    }\n}\n"
GO_SQL = """package main

import (
	"database/sql"
	"fmt"
)

func find(db *sql.DB, name string) (*sql.Rows, error) {
	return db.Query(fmt.Sprintf("SELECT * FROM users WHERE name = '%s'", name))
}
"""
GO_OK = "package main\n\nfunc main() {\n}\n"
GO_MOD = "module shop\n\ngo 1.21\n"
BUCKET = "Resources:\n  Site:\n    Type: AWS::S3::Bucket\n    Properties:\n      AccessControl: PublicRead\n"
PARAMETER = (
    "Resources:\n  Release:\n    Type: AWS::SSM::Parameter\n    Properties:\n      Type: String\n      Value: x\n"
)
TF_BUCKET = 'resource "aws_s3_bucket" "site" {\n  bucket = "site"\n  acl    = "public-read"\n}\n'
TF_OK = """resource "aws_ssm_parameter" "release" {
  name   = "release"
  type   = "SecureString"
  value  = "x"
  key_id = "k"
}
"""
METADATA = "Metadata-Version: 2.1\nName: {}\nVersion: 1.0\nLicense: {}\nClassifier: License :: OSI Approved :: {}\n"


def lock(version: str) -> dict[str, str]:
    package = f'"node_modules/lodash": {{"version": "{version}", "license": "MIT"}}'
    root = f'"": {{"name": "shop", "version": "1.0.0", "dependencies": {{"lodash": "{version}"}}}}'
    text = f'{{"name": "shop", "version": "1.0.0", "lockfileVersion": 3, "packages": {{{root}, {package}}}}}'
    return {
        "package-lock.json": text,
        "package.json": f'{{"name": "shop", "version": "1.0.0", "dependencies": {{"lodash": "{version}"}}}}',
    }


def pom(version: str) -> dict[str, str]:
    log4j = "<groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId>"
    return {
        "pom.xml": "<project><modelVersion>4.0.0</modelVersion><groupId>shop</groupId><artifactId>shop</artifactId>"
        f"<version>1</version><dependencies><dependency>{log4j}<version>{version}</version></dependency>"
        "</dependencies></project>\n"
    }


def text(version: str) -> dict[str, str]:
    return {"go.mod": f"{GO_MOD}\nrequire golang.org/x/text {version}\n"}


def stack(template: str) -> dict[str, str]:
    return {"infrastructure/template.yml": template}


def assembly(template: str) -> dict[str, str]:
    """What `cdk synth` leaves."""
    import json

    from ruamel.yaml import YAML

    return {"cdk.out/Shop.template.json": json.dumps(YAML(typ="safe").load(template))}


def jar(name: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr(f"META-INF/maven/g/{name}/pom.properties", f"version=1.0\ngroupId=g\nartifactId={name}\n")
    return held.getvalue()


def image(*modes: int) -> dict[str, str | bytes]:
    """An OCI archive whose images, one for each platform, have a program of this mode."""
    pictures = [archives.Picture([archives.tar([archives.entry("usr/bin/shop", b"x", mode=mode)])]) for mode in modes]
    return {"image.tar": archives.oci(*pictures)}


CDK = {"file": "cdk.out"}
SWITCH = "new-checkout:\n  owner: '@acme/shop'\n  until: {}\n  values: {{prod: {{enabled: {}}}}}\n"
SETTINGS = {"settings": '{"environments": ["prod"], "template": ""}'}


def limits(rate: str) -> dict[str, str]:
    """Operational configuration with its schema."""
    schema = '{"properties": {"rate": {"type": "integer"}}}'
    return {"configuration/limits/default.json": f'{{"rate": {rate}}}', "configuration/limits/schema.json": schema}


CELLS = [
    Cell("code quality", "python", "ruff", {"a.py": "import os\n"}, {"a.py": "x = 1\n"}, "F401"),
    Cell("code quality", "python", "pylint", {"a.py": "print(nobody)\n"}, {"a.py": "X = 1\n"}, "undefined-variable"),
    Cell(
        "code quality",
        "node",
        "eslint",
        {"a.mjs": "nobody();\n"},
        {"a.mjs": "export const x = 1;\n"},
        "no-undef",
        needs="npm",
    ),
    Cell(
        *("code quality", "node", "biome"),
        *({"a.js": "debugger;\n"}, {"a.js": "export const x = 1;\n"}, "lint/suspicious/noDebugger"),
        needs="npm",
    ),
    Cell(
        *("code quality", "typescript", "eslint"),
        *({"a.ts": "const x: number = 1;\n"}, {"a.ts": "export const x: number = 1;\n"}),
        rule="@typescript-eslint/no-unused-vars",
        needs="npm",
    ),
    Cell(
        *("code quality", "typescript", "biome"),
        *({"a.tsx": "debugger;\n"}, {"a.tsx": "export const A = () => <p>{1}</p>;\n"}, "lint/suspicious/noDebugger"),
        needs="npm",
    ),
    Cell(
        "code quality",
        "cdk",
        "eslint",
        {"a.mjs": "nobody();\n"},
        {"a.mjs": "export const x = 1;\n"},
        "no-undef",
        needs="npm",
    ),
    Cell(
        *("code quality", "java", "checkstyle"),
        *(
            {"A.java": 'class A {\n    boolean f(String s) {\n        return s == "x";\n    }\n}\n'},
            {"A.java": JAVA_OK},
        ),
        rule="StringLiteralEqualityCheck",
        needs="checkstyle",
    ),
    Cell(
        *("code quality", "go", "go-vet"),
        {"go.mod": GO_MOD, "m.go": 'package main\n\nimport "fmt"\n\nfunc main() {\n\tfmt.Printf("%d\\n", "x")\n}\n'},
        {"go.mod": GO_MOD, "m.go": GO_OK},
        rule="printf",
        needs="go",
    ),
    Cell(
        *("code quality", "container", "hadolint"),
        {"Dockerfile": "FROM debian:12\nRUN sudo ls\n"},
        {"Dockerfile": "FROM scratch\nCOPY a /a\nUSER 1000\n"},
        rule="DL3004",
    ),
    Cell(
        *("code quality", "container", "trivy"),
        {"Dockerfile": "FROM debian:12\nADD a /a\nUSER root\n"},
        {"Dockerfile": "FROM debian:12\nCOPY a /a\nHEALTHCHECK CMD true\nUSER 1000\n"},
        rule="DS-0002",
    ),
    Cell(
        *("code quality", "cloudformation", "cfn-lint"),
        stack("Resources:\n  Site:\n    Type: AWS::S3::Bucket\n    Properties: {Nme: x}\n"),
        stack(PARAMETER),
        rule="E3002",
    ),
    Cell(
        *("code quality", "terraform", "terraform"),
        {"m.tf": 'output "y" {\n  value = var.z\n}\n'},
        {"m.tf": 'variable "x" {\n  type = string\n}\n'},
        rule="error",
        needs="terraform",
    ),
    Cell("SAST", "python", "bandit", {"a.py": PYTHON_SQL}, {"a.py": PYTHON_OK}, "B608"),
    Cell("SAST", "python", "semgrep", {"a.py": PYTHON_SQL}, {"a.py": PYTHON_OK}, "python-sql-injection"),
    Cell("SAST", "node", "semgrep", {"a.mjs": NODE_SQL}, {"a.mjs": NODE_OK}, "node-sql-injection", needs="npm"),
    Cell("SAST", "typescript", "semgrep", {"a.ts": TS_SQL}, {"a.ts": TS_OK}, "node-sql-injection", needs="npm"),
    Cell("SAST", "typescript", "opengrep", {"a.ts": TS_SQL}, {"a.ts": TS_OK}, "node-sql-injection", needs="npm"),
    Cell("SAST", "cdk", "semgrep", {"a.mjs": NODE_SQL}, {"a.mjs": NODE_OK}, "node-sql-injection", needs="npm"),
    Cell("SAST", "java", "semgrep", {"A.java": JAVA_SQL}, {"A.java": JAVA_OK}, "java-sql-injection", needs="javac"),
    Cell("SAST", "go", "semgrep", {"a.go": GO_SQL}, {"a.go": GO_OK}, "go-sql-injection", needs="go"),
    Cell("SAST", "node", "opengrep", {"a.mjs": NODE_SQL}, {"a.mjs": NODE_OK}, "node-sql-injection", needs="npm"),
    Cell("SAST", "java", "opengrep", {"A.java": JAVA_SQL}, {"A.java": JAVA_OK}, "java-sql-injection", needs="javac"),
    Cell("SAST", "go", "opengrep", {"a.go": GO_SQL}, {"a.go": GO_OK}, "go-sql-injection", needs="go"),
    Cell("SAST", "cdk", "opengrep", {"a.mjs": NODE_SQL}, {"a.mjs": NODE_OK}, "node-sql-injection", needs="npm"),
    Cell(
        *("SCA", "python", "trivy"),
        *({"requirements.txt": "requests==2.19.1\n"}, {"requirements.txt": "requests==2.32.3\n"}, "CVE-2018-18074"),
    ),
    Cell("SCA", "node", "trivy", lock("4.17.11"), lock("4.17.21"), "CVE-2019-10744"),
    Cell("SCA", "typescript", "trivy", lock("4.17.11"), lock("4.17.21"), "CVE-2019-10744"),
    Cell("SCA", "java", "trivy", pom("2.14.1"), pom("2.24.0"), "CVE-2021-44228"),
    Cell("SCA", "go", "trivy", text("v0.3.7"), text("v0.14.0"), "CVE-2022-32149"),
    Cell(
        *("SBOM", "python", "trivy"),
        {"x-1.0.dist-info/METADATA": "broken"},
        {"x-1.0.dist-info/METADATA": METADATA.format("x", "MIT", "MIT License")},
        rule="no-components",
        packed=True,
    ),
    Cell(
        *("SBOM", "python", "syft"),
        {"x-1.0.dist-info/METADATA": "broken"},
        {"x-1.0.dist-info/METADATA": METADATA.format("x", "MIT", "MIT License"), "x-1.0.dist-info/RECORD": ""},
        rule="no-components",
        packed=True,
    ),
    Cell(
        *("SBOM", "node", "trivy"),
        {"node_modules/lodash/package.json": "{}"},
        {"node_modules/lodash/package.json": '{"name": "lodash", "version": "4.17.21", "license": "MIT"}'},
        rule="no-components",
        packed=True,
    ),
    Cell(
        *("SBOM", "java", "trivy"),
        {"lib/a.jar": "broken", "lib/b.jar": "broken"},
        {"lib/a.jar": jar("a"), "lib/b.jar": jar("b")},
        rule="no-components",
        packed=True,
    ),
    Cell(
        *("licences", "python", "trivy"),
        {"x-1.0.dist-info/METADATA": METADATA.format("x", "AGPL-3.0", "GNU Affero General Public License v3")},
        {"x-1.0.dist-info/METADATA": METADATA.format("x", "MIT", "MIT License")},
        rule="x:AGPL-3.0-only",
        packed=True,
    ),
    Cell(
        *("licences", "node", "trivy"),
        {"node_modules/x/package.json": '{"name": "x", "version": "1.0.0", "license": "AGPL-3.0"}'},
        {"node_modules/x/package.json": '{"name": "x", "version": "1.0.0", "license": "MIT"}'},
        rule="x:AGPL-3.0-only",
        packed=True,
    ),
    Cell(
        *("licences", "python", "pip-licenses"),
        {"x-1.0.dist-info/METADATA": METADATA.format("x", "AGPL-3.0", "GNU Affero General Public License v3")},
        {"x-1.0.dist-info/METADATA": METADATA.format("x", "MIT", "MIT License")},
        rule="x:GNU-Affero-General-Public-License-v3",
        packed=True,
    ),
    Cell(
        *("licences", "node", "license-checker"),
        {"node_modules/x/package.json": '{"name": "x", "version": "1.0.0", "license": "AGPL-3.0"}'},
        {"node_modules/x/package.json": '{"name": "x", "version": "1.0.0", "license": "(MIT OR GPL-3.0)"}'},
        rule="x:AGPL-3.0",
        packed=True,
        needs="npm",
    ),
    Cell(
        *("policy as code", "cloudformation", "cfn-guard"),
        *(stack(BUCKET), stack(PARAMETER), "S3_BUCKET_LEVEL_PUBLIC_ACCESS_PROHIBITED_CHECK"),
    ),
    Cell(
        *("policy as code", "container", "trivy"),
        {"Dockerfile": "FROM debian:12\nCOPY a /a\nUSER root\n"},
        {"Dockerfile": "FROM debian:12\nCOPY a /a\nUSER 1000\n"},
        rule="DS-0002",
    ),
    Cell("policy as code", "cloudformation", "trivy", stack(BUCKET), stack(PARAMETER), "AWS-0092"),
    Cell("policy as code", "cloudformation", "checkov", stack(BUCKET), stack(PARAMETER), "CKV_AWS_20"),
    Cell(
        *("policy as code", "cdk", "cfn-guard"),
        *(assembly(BUCKET), assembly(PARAMETER), "S3_BUCKET_LEVEL_PUBLIC_ACCESS_PROHIBITED_CHECK", CDK),
    ),
    Cell("policy as code", "cdk", "trivy", assembly(BUCKET), assembly(PARAMETER), "AWS-0092", CDK),
    Cell("policy as code", "terraform", "trivy", {"m.tf": TF_BUCKET}, {"m.tf": TF_OK}, "AWS-0092"),
    Cell("policy as code", "terraform", "checkov", {"m.tf": TF_BUCKET}, {"m.tf": TF_OK}, "CKV_AWS_20"),
]
CELLS += [  # dynamic configuration: three actions, each with its own rules
    Cell(
        *("build code", "configuration", "configuration"),
        *({"flags.yml": SWITCH.format("2099-01-01", '"on"')}, {"flags.yml": SWITCH.format("2099-01-01", "true")}),
        *("wrong-kind", SETTINGS),
    ),
    Cell("schemas", "configuration", "configuration", limits('"1"'), limits("1"), "schema", SETTINGS),
    Cell(
        *("code quality", "configuration", "configuration"),
        *({"flags.yml": SWITCH.format("2020-01-01", "true")}, {"flags.yml": SWITCH.format("2099-01-01", "true")}),
        *("expired-flag", SETTINGS),
    ),
]
OWNED = {"settings": '{"component": "org", "parts": ["root"], "folder": "organisation"}'}


def fleet(unit: str, expect: str) -> dict[str, str | bytes]:
    """An account in a unit, a guardrail of the root, and a row of its test."""
    statement = '{"Effect": "Deny", "Action": "iam:CreateUser", "Resource": "*"}'
    who = 'principal: "arn:aws:iam::{account}:role/any", action: iam:CreateUser, resource: "*"'
    files = {
        "organisation.yml": "units: {Shops: {}}\n",
        "accounts/shop.yml": f"unit: {unit}\naccounts: {{shop: {{email: shop@example.com}}}}\n",
        "policies/users.yml": "type: service-control-policy\nattach: [root]\n",
        "policies/users.json": f'{{"Version": "2012-10-17", "Statement": [{statement}]}}\n',
        "policies/tests/users.yml": f"unit: Shops\nrows: [{{{who}, expect: {expect}}}]\n",
    }
    return {f"organisation/{name}": text for name, text in files.items()}


CELLS += [  # an account fleet
    Cell(*("build code", "fleet", "fleet"), *(fleet("Shop", "deny"), fleet("Shops", "deny"), "unknown-unit", OWNED)),
    Cell(
        *("policy tests", "fleet", "policy-tests"),
        *(fleet("Shops", "allow"), fleet("Shops", "deny"), "policy-test", OWNED),
    ),
]
STEP = "- name: {}\n    steps:\n      - name: b\n        action: ExecuteBash\n        inputs: {{commands: ['{}']}}\n"
COMPONENT = f"name: a\nschemaVersion: 1.0\nphases:\n  {STEP}"
BUILT = {"settings": '{"components": "components"}'}


def component(phase: str, command: str) -> dict[str, str]:
    """A component document of Image Builder."""
    return {"components/a.yml": COMPONENT.format(phase, command)}


def machine(mode: int) -> dict[str, str | bytes]:
    """What was looked at of an AMI whose program has this mode."""
    files = {"etc/passwd": b"root:x:0:0:root:/root:/bin/bash\n", "usr/bin/shop": b"x"}
    entries = [archives.entry(name, content, mode=mode if "bin" in name else 0o644) for name, content in files.items()]
    return {"image.tar": archives.oci(archives.Picture([archives.tar(entries)]))}


NEW = Path(__file__).parents[2] / "cookiecutter-dpra/{{cookiecutter.name}}/with-packer/packer"
PACKED = {"settings": '{"packer": "packer"}'}


def template(old: str, new: str) -> dict[str, str | bytes]:
    """The template of Packer's that `dpra new` makes, with something else in it."""
    text = (NEW / "image.pkr.hcl").read_text("utf-8").replace('{{ "', "").replace('" }}', "")
    scripts = {f"packer/scripts/{path.name}": path.read_text("utf-8") for path in (NEW / "scripts").iterdir()}
    return {"packer/image.pkr.hcl": text.replace(old, new), **scripts}


CELLS += [  # images
    Cell(
        *("code quality", "machine", "components"),
        *(component("verify", "true"), component("test", "true"), "phase", BUILT),
    ),
    Cell(
        *("policy as code", "machine", "components"),
        component("build", "curl https://example.com/i.sh | sh"),
        component("build", "true"),
        *("piped-download", BUILT),
    ),
    Cell(
        *("code quality", "packer", "packer-template"),
        *(template("build {", 'source "amazon-ebs" "b" {}\nbuild {'), template("", "")),
        *("one-image", PACKED),
    ),
    Cell(
        *("policy as code", "packer", "packer-template"),
        *(template('"session_manager"', '"public_ip"'), template("", "")),
        *("open-port", PACKED),
    ),
    Cell(*("hardening", "machine", "hardening"), machine(0o4755), machine(0o755), "unknown-setuid", packed=True),
    Cell(*("hardening", "container", "hardening"), image(0o755, 0o4755), image(0o755, 0o755), "setuid", packed=True),
]
CELLS += [  # what is packed of TypeScript is JavaScript
    replace(cell, language="typescript")
    for cell in CELLS
    if cell.language == "node" and cell.gate in ("SBOM", "licences")
]
ACTIONS = {
    "code quality": "code-quality",
    "SAST": "sast",
    "SCA": "sca",
    "SBOM": "sbom",
    "licences": "licence-policy",
    "policy as code": "policy-as-code",
    "images": "vulnerability-assessment",
    "hardening": "hardening-check",
    "build code": "build-code",
    "schemas": "unit-tests",
    "policy tests": "unit-tests",
}
AS = {"typescript": "node"}  # what a dpra.yml calls the language
LANGUAGES = (
    "python",
    "node",
    "typescript",
    "java",
    "go",
    "container",
    "machine",
    "cloudformation",
    "cdk",
    "terraform",
    "configuration",
    "fleet",
)
# Gates that other tests see blocking and passing: gate -> language -> tools. The test is named beside the gate.
ELSEWHERE: dict[str, dict[str, tuple[str, ...]]] = {
    "secrets": dict.fromkeys(LANGUAGES, ("gitleaks", "detect-secrets")),  # test_secrets_detection.py
    "SCA": {"python": ("pip-audit",), "node": ("npm-audit",), "typescript": ("npm-audit",)},  # test_gates.py
    "SBOM": {"container": ("trivy",), "machine": ("trivy",)},  # test_gates.py, test_machine_image.py
    "images": {
        "container": ("trivy",),
        "machine": ("trivy", "inspector"),
    },  # test_gates.py, test_machine_image.py, test_inspector.py
    "IaC unit tests": {"cloudformation": ("cfn-guard test",), "terraform": ("terraform test",)},  # test_gates.py
    "unit tests, coverage": {  # test_coverage.py
        "python": ("pytest-cov",),
        "node": ("node --test",),
        "go": ("go test",),
    },
}
# What could not be executed here, and why.
UNPROVEN: dict[tuple[str, str], str] = {
    ("unit tests, coverage", "typescript"): "what compiles it is the project's",
    ("unit tests, coverage", "java"): "JaCoCo reports are read; none for Java 17 could be had",
    ("SBOM", "go"): "no dependency of Go could be fetched",
    ("licences", "java"): "no dependency of Maven could be fetched",
    ("licences", "go"): "no dependency of Go could be fetched",
    ("IaC unit tests", "cdk"): "jest by `command`; no CDK application was built",
}
