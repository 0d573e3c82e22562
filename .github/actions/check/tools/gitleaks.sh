#!/usr/bin/env bash
# Secrets, by the default rules: in what is staged (as a pre-commit hook), in the commits of a pull request or of a push,
# else in the whole history of HEAD, merges included, and, whatever its name, in the tree. Neither a .gitleaks.toml nor a
# .gitleaksignore nor a comment in the code lets anything through:
# waive it in dpra.yml. Besides its arguments it reads .gitleaks.toml and .gitleaksignore where it looks (a .git folder, a
# folder of copies) and where it starts (an empty one), GITLEAKS_CONFIG* (none reaches it), and by way of git .gitattributes
# (told to take all as text) and .git/config. Its own list of names is for the history alone: what lies in the tree under
# such a name is looked at by all rules but the one for any high entropy, which lock files are full of.
# default for secrets-detection: any
# version: 8.30.1
# version-command: gitleaks version
# ok-exit-codes: 0
# source linux-x64: https://github.com/gitleaks/gitleaks/releases/download/v8.30.1/gitleaks_8.30.1_linux_x64.tar.gz sha256: 551f6fc83ea457d62a0d98237cbad105af8d557003051f41f3e7ca7b3f2470eb
# source linux-arm64: https://github.com/gitleaks/gitleaks/releases/download/v8.30.1/gitleaks_8.30.1_linux_arm64.tar.gz sha256: e4a487ee7ccd7d3a7f7ec08657610aa3606637dab924210b3aee62570fb4b080
set -euo pipefail
cd "$TARGET"
export GIT_NO_REPLACE_OBJECTS=1
scope=(.) since=
if [[ ${DPRA_STAGED:-} == yes ]]; then
  scope+=(--pre-commit --staged)
else
  # Seen from here there is no .gitleaksignore, which it would read besides the one it is told.
  scope=("$(git rev-parse --absolute-git-dir)")
  git rev-parse --verify HEAD >/dev/null # no repository, or no commit in it: nothing would be checked
  if [[ $(git rev-parse --is-shallow-repository) == true ]]; then
    echo "The git history is shallow: check out with fetch-depth: 0." >&2
    exit 65
  fi
  # In doubt the whole history: a new branch, a forced push, a commit that is not there.
  before=
  case ${GITHUB_EVENT_NAME:-} in
    pull_request) # HEAD is GitHub's merge of it with its base
      ! git rev-parse --verify --quiet HEAD^2 > /dev/null || before=$(git rev-parse --verify HEAD^1)
      ;;
    push) before=$(python3 -I -B -c 'import json, os; print(json.load(open(os.environ["GITHUB_EVENT_PATH"])).get("before", ""))') ;;
  esac
  range=HEAD # not what other branches have
  if [[ -n $before ]] && git merge-base --is-ancestor "$before" HEAD 2>/dev/null; then
    since=$(git rev-parse --verify --end-of-options "$before^{commit}") range=$before..HEAD
  fi
  # A merge can bring what no commit has; no attribute hides a file from it.
  scope+=("--log-opts=--full-history --diff-merges=first-parent --text --no-textconv --no-ext-diff $range")
fi

# gitleaks exits 1 for its own errors as for findings: so findings get 0, they are in the report. And it exits 0 when git
# failed under it: so a line that says error is an error.
export GITLEAKS_CONFIG_TOML=$'[extend]\nuseDefault = true'
log="$SARIF.log"
found() { # REPORT ARGUMENT...
  gitleaks "${@:2}" --gitleaks-ignore-path "$TMPDIR/none" --redact --no-banner --no-color --ignore-gitleaks-allow \
    --report-format sarif --report-path "$1" --exit-code 0 2> "$log" || code=$?
  cat "$log" >&2
  if grep -q ' \(ERR\|FTL\) ' "$log"; then exit 70; fi
}
code=0
found "$SARIF" git "${scope[@]}"
if [[ ${DPRA_STAGED:-} != yes && -f $SARIF ]]; then
  cd "$HOME"
  GITLEAKS_CONFIG_TOML+=$'\ndisabledRules = ["generic-api-key"]'
  python3 -I -B "$CHECK/tree.py" copy "$TMPDIR/copies" "$since"
  found "$TMPDIR/tree.sarif" dir "$TMPDIR/copies"
  python3 -I -B "$CHECK/tree.py" add "$TMPDIR/copies" "$TMPDIR/tree.sarif"
fi
exit "$code"
