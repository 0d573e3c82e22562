#!/usr/bin/env bash
# Known vulnerabilities and licences of dependencies, SBOMs, vulnerabilities of images, and misconfigured infrastructure.
# Neither a trivy.yaml nor a .trivyignore of the repository is read: they could switch all of it off. Besides its arguments
# it reads those where it starts, TRIVY_* (the few below) and ~/.m2, ~/.gradle, ~/.nuget (an empty HOME).
# Dependencies for development count where the input `development` says so: of npm, Yarn and Gradle, and requirements files
# of pip that are called so, such as requirements-dev.txt. Maven's scope `test` never does.
# default for sca: any
# default for sbom: any
# default for licence-policy: any
# default for vulnerability-assessment: container machine
# default for policy-as-code: terraform container
# serves policy-as-code: cloudformation cdk
# serves code-quality: container
# version: 0.75.0
# version-command: trivy --version
# environment: TRIVY_CACHE_DIR TRIVY_OFFLINE_SCAN TRIVY_SKIP_DB_UPDATE TRIVY_SKIP_JAVA_DB_UPDATE TRIVY_DB_REPOSITORY TRIVY_JAVA_DB_REPOSITORY
# ok-exit-codes: 0
# suppressed in policy-as-code: trivy:ignore
# suppressed in code-quality: trivy:ignore
# source linux-x64: https://github.com/aquasecurity/trivy/releases/download/v0.75.0/trivy_0.75.0_Linux-64bit.tar.gz sha256: c6e65abddb348e25f10549df887045629cf28cc72453cd1c63acb717316b3f3f
# source linux-arm64: https://github.com/aquasecurity/trivy/releases/download/v0.75.0/trivy_0.75.0_Linux-ARM64.tar.gz sha256: a1ee9f6ffb7d112b64ff726a2a0717c21175c1114361391f4a132956751a13b3
# check/infrastructure.py asks $CHECK/files.py and $CHECK/templates.py what there is. Of images every *.tar is looked at, for
# every platform; one of an unknown distribution is not-checked.
set -euo pipefail
cd "$TARGET"
: > "$TMPDIR/empty.yaml"
common=(--config "$TMPDIR/empty.yaml" --ignorefile "$TMPDIR/empty.yaml" --disable-telemetry --skip-version-check --quiet)
common+=(--skip-dirs .github/actions/dpra)
convert=(--config "$TMPDIR/empty.yaml" --ignorefile "$TMPDIR/empty.yaml" --quiet)
to_report=(--format sarif --output "$SARIF")
json=$TMPDIR/found.json
content=fs # what manifests and lock files name
[[ $PACKED == no ]] || content=rootfs # what is really there

look_at_images() { # every image, for every platform; what was found is in $json
  local inputs number
  python3 -I -B "$CHECK/images.py" list > "$TMPDIR/inputs" || exit 65
  mapfile -d '' -t inputs < "$TMPDIR/inputs"
  for number in "${!inputs[@]}"; do
    trivy image "${common[@]}" "$@" --list-all-pkgs --format json --output "$TMPDIR/found-$number.json" \
      --input "${inputs[$number]}"
  done
  python3 -I -B "$CHECK/images.py" merge "$json"
}

case $ACTION in
  sca)
    # By way of its own JSON: the SARIF does not tell whether there was anything to check.
    more=(--file-patterns 'pip:(^|/)(requirements|constraints)([-_.][^/]*)?\.txt$'
      --file-patterns 'pip:[-_.]requirements\.txt$' --file-patterns 'pip:(^|/)requirements/[^/]+\.txt$'
      --file-patterns 'npm:npm-shrinkwrap\.json$')
    [[ $DEVELOPMENT != true ]] || more+=(--include-dev-deps)
    mapfile -d '' -t left_out < <(python3 -I -B "$CHECK/manifests.py") # requirements files for development
    for file in "${left_out[@]}"; do more+=(--skip-files "${file//,/?}"); done # a comma begins another pattern
    trivy fs "${common[@]}" "${more[@]}" --scanners vuln --ignore-unfixed --list-all-pkgs --format json --output "$json" .
    # It reads a trivy.yaml and a .trivyignore where it starts, too.
    (cd "$HOME" && trivy convert "${convert[@]}" "${to_report[@]}" "$json")
    python3 -I -B "$CHECK/manifests.py" "$json" "$SARIF" || { rm -f "$SARIF" && exit 65; }
    ;;
  licence-policy)
    trivy "$content" "${common[@]}" --scanners license "${to_report[@]}" .
    ;;
  vulnerability-assessment)
    look_at_images --scanners vuln --ignore-unfixed
    (cd "$HOME" && trivy convert "${convert[@]}" "${to_report[@]}" "$json")
    python3 -I -B "$CHECK/images.py" unseen "$SARIF" || { rm -f "$SARIF" && exit 70; }
    ;;
  policy-as-code | code-quality)
    # Copies beside which no configuration lies, and in which no comment lets a finding through. A template that cannot be
    # parsed is passed over without a word: it is not in the report, so it is not-checked.
    what=$(python3 -I -B "$CHECK/infrastructure.py")
    (
      cd "$TMPDIR"
      trivy config "${common[@]}" --skip-check-update --misconfig-scanners "$what" --format json --output "$json" code
    )
    python3 -I -B - "$json" "$what" <<'PYTHON' | python3 -I -B "$CHECK/sarif.py" trivy "$TMPDIR/files"
import json, os, sys

code = os.path.join(os.environ["TMPDIR"], "code")
places = json.load(open(os.path.join(os.environ["TMPDIR"], "places.json"), encoding="utf-8"))
for result in json.load(open(sys.argv[1], encoding="utf-8")).get("Results") or []:
    path = os.path.join(code, result["Target"])
    found = result.get("Misconfigurations") or []
    if sys.argv[2] != "terraform" and path in places and result.get("MisconfSummary"):
        print(json.dumps({"looked": places[path][0]}))
    for one in found:
        cause = one.get("CauseMetadata") or {}
        name, after = places.get(path, (result["Target"], 0))
        line = cause.get("StartLine", 1)
        if ".dpra_canary_" in cause.get("Resource", ""):
            print(json.dumps({"looked": name}))
            continue
        print(json.dumps({"rule": one["ID"], "severity": one["Severity"].lower().replace("unknown", "low"),
                          "text": f"{one['Title']}: {one['Message']}", "file": name, "line": line - bool(0 < after < line)}))
PYTHON
    ;;
  sbom)
    image=$(find . -maxdepth 1 -name '*.tar' -print -quit)
    if [[ -z $image || $PACKED == no ]]; then
      trivy "$content" "${common[@]}" --scanners license --format cyclonedx --output "$EVIDENCE/sbom.cdx.json" .
      trivy "$content" "${common[@]}" --scanners license --format spdx-json --output "$EVIDENCE/sbom.spdx.json" .
      python3 -I -B "$CHECK/sbom.py" > "$TMPDIR/findings"
    else
      look_at_images --scanners license
      (cd "$HOME" && trivy convert "${convert[@]}" --format cyclonedx --output "$EVIDENCE/sbom.cdx.json" "$json")
      (cd "$HOME" && trivy convert "${convert[@]}" --format spdx-json --output "$EVIDENCE/sbom.spdx.json" "$json")
      python3 -I -B "$CHECK/images.py" unseen > "$TMPDIR/findings"
      python3 -I -B "$CHECK/sbom.py" >> "$TMPDIR/findings"
    fi
    python3 -I -B "$CHECK/sarif.py" trivy < "$TMPDIR/findings"
    ;;
esac
