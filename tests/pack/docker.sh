#!/usr/bin/env bash
# The few of Docker's commands that the defaults use, done by buildah: no engine runs here.
set -euo pipefail
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs
buildah() { command buildah --root "$HOME/images" --runroot "$HOME/images-run" "$@"; }

command=$1
shift
case $command in
  version) command buildah version ;;
  build) buildah build "$@" ;;
  save)
    [[ $1 == --output && $# == 3 ]]
    buildah push --quiet "$3" "docker-archive:$2"
    ;;
  run)
    options=()
    while [[ $1 == --* ]]; do
      case $1 in
        --rm) shift ;;
        --env) options+=(--env "$2=${!2}"); shift 2 ;;
        --volume) options+=(--volume "$2"); shift 2 ;;
        *) echo "unknown option $1" >&2; exit 125 ;;
      esac
    done
    container=$(buildah from "$1")
    mapfile -t words < <(buildah inspect --format '{{range .OCIv1.Config.Entrypoint}}{{println .}}{{end}}{{range .OCIv1.Config.Cmd}}{{println .}}{{end}}' "$container" | sed '/^$/d')
    buildah run "${options[@]}" "$container" -- "${words[@]}"
    ;;
  *) echo "unknown command $command" >&2; exit 125 ;;
esac
