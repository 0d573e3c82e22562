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

environment=$RUNNER_TEMP/dpra-environment
if [ ! -x "$environment/bin/python" ]; then
  python3 -I -m venv "$environment"
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
    --requirement "$GITHUB_ACTION_PATH/requirements/dpra.txt"
fi
PYTHONPATH=$GITHUB_ACTION_PATH/generator exec "$environment/bin/python" -B -m dpra --directory "$DIRECTORY" "$COMMAND"
