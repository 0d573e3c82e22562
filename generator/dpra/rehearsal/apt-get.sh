#!/bin/sh
# What of Debian's apt-get image builds use, in the base of a rehearsal: the packages of an archive that buildah.py writes
# become entries of dpkg's status.
set -eu
archive=/usr/share/dpra/archive status=/var/lib/dpkg/status command='' names=''
for word in "$@"; do
  case $word in
    -*) ;;
    *) if [ -z "$command" ]; then command=$word; else names="$names $word"; fi ;;
  esac
done

put() { # name version
  case $1 in libc6) source=glibc ;; libssl3) source=openssl ;; *) source=$1 ;; esac
  sed -i "/^Package: $1\$/,/^\$/d" "$status"
  printf '%s\n' "Package: $1" "Status: install ok installed" "Architecture: amd64" "Source: $source" "Version: $2" \
    "Maintainer: Debian" "Description: $1" "" >> "$status"
  echo "Setting up $1 ($2) ..."
}

case $command in
  update) echo "Reading package lists... Done" ;;
  upgrade | dist-upgrade)
    while read -r name version; do
      if grep -q "^Package: $name\$" "$status"; then put "$name" "$version"; fi
    done < "$archive"
    ;;
  install)
    for name in $names; do
      name=${name%%=*}
      version=$(sed -n "s/^$name //p" "$archive")
      if [ -z "$version" ]; then
        echo "E: Unable to locate package $name" >&2
        exit 100
      fi
      put "$name" "$version"
    done
    ;;
  clean | autoclean | autoremove) ;;
  *)
    echo "apt-get $command: not rehearsed" >&2
    exit 100
    ;;
esac
