#!/usr/bin/env bash
# Runs dpra from the action's checkout: a virtual environment of its own, and only what the lock file's hashes admit.
set -euo pipefail

case $COMMAND in
  check | generate | plan | schema) ;;
  *)
    echo "::error::command: there is check, generate, plan and schema"
    exit 2
    ;;
esac

environment=$(mktemp -d "$RUNNER_TEMP/dpra-XXXXXX") # what lies there already may be somebody else's
python3 -I -B -m venv "$environment"
python=$environment/bin/python
"$python" -I -B -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
  --requirement "$GITHUB_ACTION_PATH/requirements/dpra.txt"
packages=$("$python" -I -B -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$GITHUB_ACTION_PATH/generator" > "$packages/dpra.pth"
exec "$python" -I -B -m dpra --directory "$DIRECTORY" "$COMMAND"
