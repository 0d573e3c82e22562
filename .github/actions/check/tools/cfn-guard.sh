#!/usr/bin/env bash
# CloudFormation against the rules of AWS Control Tower, with the severities that AWS gives them; what the input `file`
# names (a template, or a folder such as cdk.out), else those below infrastructure/. A repository's own rules:
# policies/*.guard; they only add.
# default for policy-as-code: cloudformation cdk
# version: 3.1.1
# version-command: none; the rules come along
# ok-exit-codes: 0
# unpack: all
# source linux-x64: https://registry.npmjs.org/@cdklabs/cdk-validator-cfnguard/-/cdk-validator-cfnguard-0.0.62.tgz sha256: 660c14562d4c79d524d0623d80d494e41797acae9da23ecb10915d7f66ada80c
# source linux-arm64: https://registry.npmjs.org/@cdklabs/cdk-validator-cfnguard/-/cdk-validator-cfnguard-0.0.62.tgz sha256: 660c14562d4c79d524d0623d80d494e41797acae9da23ecb10915d7f66ada80c
#
# What a resource's Metadata suppresses is a finding itself: a rule of our own asks the tool's own parser for it.
#
# It reads besides: nothing; no configuration, no variable.
set -euo pipefail
shopt -s nullglob
machine=x86_64
case $(uname -m) in aarch64 | arm64) machine=aarch64 ;; esac
guard=$TOOL_HOME/package/bin/ubuntu/$machine/cfn-guard
rules=$TOOL_HOME/package/rules/control-tower
chmod +x "$guard"
python3 -I -B "$CHECK/templates.py" > "$TMPDIR/files"
own=("$TARGET"/policies/*.guard)
mkdir "$TMPDIR/copies" "$TMPDIR/rules"
cat > "$TMPDIR/rules/inline.guard" <<'RULE'
rule dpra_inline_suppression {
  Resources.*[ Metadata.guard.SuppressedRules exists ] empty
}
RULE
python3 -I -B - "$guard" "$rules" "$TMPDIR/rules" "${own[@]}" <<'PYTHON' | python3 -I -B "$CHECK/sarif.py" cfn-guard "$TMPDIR/files"
import json, os, re, subprocess, sys
from pathlib import Path

guard, rules, *own = sys.argv[1:]
target, private = Path(os.environ["TARGET"]), Path(os.environ["TMPDIR"])
templates = [os.fsdecode(name) for name in (private / "files").read_bytes().split(b"\0") if name]
severities = {}
for file in Path(rules, "cfn-guard").glob("*/*.guard"):
    metadata = Path(rules, "metadata", file.parent.name, f"{file.stem}.metadata.json")
    severity = json.loads(metadata.read_bytes())["Severity"].lower()
    severities |= {name.upper(): severity for name in re.findall(r"^rule (\w+) when", file.read_text(), re.MULTILINE)}
# The rules want a literal string: the account's own id is one, though it is known at deployment only.
own_account = re.compile(r"""!Ref ["']?AWS::AccountId["']?|\{\s*"Ref"\s*:\s*"AWS::AccountId"\s*\}""")
for number, template in enumerate(templates):
    resolved = private / "copies" / f"{number}{Path(template).suffix.lower()}"
    text = (target / template).read_text(encoding="utf-8")
    resolved.write_text(own_account.sub('"111111111111"', text), encoding="utf-8")
    words = [guard, "validate", "--structured", "--output-format", "sarif", "--show-summary", "none"]
    words += [word for rule in (f"{rules}/cfn-guard", *own) for word in ("--rules", rule)] + ["--data", str(resolved)]
    ran = subprocess.run(words, capture_output=True, text=True)
    sys.stderr.write(ran.stderr)
    if ran.returncode not in (0, 19) or ran.stderr:  # 19: not compliant. What cannot be parsed is said on stderr only
        sys.exit(70)
    [run] = json.loads(ran.stdout)["runs"]
    print(json.dumps({"looked": template}))
    seen = set()
    for result in run["results"]:
        rule, line = result["ruleId"], result["locations"][0]["physicalLocation"]["region"]["startLine"]
        if (rule, line) not in seen:
            text = result["message"]["text"].split(" Value traversed to ")[0]
            if rule.lower() == "dpra_inline_suppression":
                rule = "inline-suppression"
                text = "SuppressedRules has no effect: waive the finding in dpra.yml, with reason and expiry date"
            found = {"rule": rule, "severity": severities.get(rule, "high"), "text": text, "file": template, "line": line}
            print(json.dumps(found))
        seen.add((rule, line))
PYTHON
