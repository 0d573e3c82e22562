#!/bin/sh
# lsblk, mount and umount of a machine that has a volume of an AMI's: nothing is mounted there really. `mount` copies the
# files that roots.py put beside its list of devices; what is written to the folder is in no volume.
set -eu
list=/.dpra/devices # path serial fstype bytes type parent files, with - for none

refused() { # CODE WORDS
  code=$1
  shift
  echo "$(basename "$0"): $*" >&2
  exit "$code"
}

lsblk() {
  columns=NAME,MAJ:MIN,RM,SIZE,RO,TYPE,MOUNTPOINTS json='' paths='' bytes=''
  while [ $# -gt 0 ]; do
    case $1 in
      --json | -J) json=1 ;;
      --paths | -p) paths=1 ;;
      --bytes | -b) bytes=1 ;;
      --output | -o)
        columns=$2
        shift
        ;;
      --output=*) columns=${1#--output=} ;;
      *) refused 1 "not rehearsed: $1" ;;
    esac
    shift
  done
  [ -n "$json" ] && [ -n "$bytes" ] || refused 1 "not rehearsed: without --json and --bytes"
  awk -v columns="$columns" -v paths="$paths" '
    function said(line, part, n, names, i, value, out) {
      split(line, part, " ")
      n = split(columns, names, ",")
      for (i = 1; i <= n; i++) {
        value = part[at[names[i]]]
        if (names[i] == "NAME" && !paths) sub("^/dev/", "", value)
        if (value == "-") value = "null"
        else if (names[i] != "SIZE") value = "\"" value "\""
        out = out (i > 1 ? ", " : "") "\"" tolower(names[i]) "\":" value
      }
      return out
    }
    BEGIN {
      at["NAME"] = at["PATH"] = at["KNAME"] = 1; at["SERIAL"] = 2; at["FSTYPE"] = 3; at["SIZE"] = 4; at["TYPE"] = 5
      at["PKNAME"] = 6
      n = split(columns, names, ",")
      for (i = 1; i <= n; i++) if (!(names[i] in at)) {
        print "lsblk: unknown column: " names[i] > "/dev/stderr"
        exit wrong = 1
      }
    }
    $5 == "disk" { disks[++count] = $0; next }
    { parts[$6] = parts[$6] (parts[$6] ? ",\n" : "") "            {" said($0) "}" }
    END {
      if (wrong) exit 1
      printf "{\n   \"blockdevices\": [\n"
      for (i = 1; i <= count; i++) {
        split(disks[i], part, " ")
        printf "      {%s", said(disks[i])
        if (parts[part[1]]) printf ",\n         \"children\": [\n%s\n         ]\n      ", parts[part[1]]
        printf "}%s\n", i < count ? "," : ""
      }
      printf "   ]\n}\n"
    }' "$list"
}

mount() {
  kind='' options=''
  while [ $# -gt 2 ]; do
    case $1 in
      -t | --types) kind=$2 ;;
      -o | --options) options=$options,$2 ;;
      *) refused 1 "not rehearsed: $1" ;;
    esac
    shift 2
  done
  [ $# -eq 2 ] || refused 1 "bad usage"
  line=$(grep "^$1 " "$list" || true)
  [ -d "$2" ] || refused 32 "$2: mount point does not exist."
  [ -n "$line" ] || refused 32 "$2: special device $1 does not exist."
  files=${line##* } there=$(echo "$line" | cut -d' ' -f3)
  case $options, in *,ro,*) ;; *) refused 1 "not rehearsed: but for ro" ;; esac
  wrong=''
  [ -z "$kind" ] || [ "$kind" = "$there" ] || wrong=1
  for one in $(echo "$options" | tr , ' '); do
    case $there:$one in
      *:ro | *:nosuid | *:nodev | *:noexec | *:noatime | ext4:noload | *:norecovery | xfs:nouuid) ;;
      *) wrong=1 ;;
    esac
  done
  [ -z "$wrong" ] && [ "$there" != - ] ||
    refused 32 "$2: wrong fs type, bad option, bad superblock on $1, missing codepage or helper program, or other error."
  [ -z "$(ls -A "$2")" ] || refused 1 "not rehearsed: a folder that is not empty"
  [ "$files" = - ] || cp -a "$files/." "$2/"
  echo "$2" >> /.dpra/mounted
}

umount() {
  grep -q -x -F -e "$1" /.dpra/mounted 2> /dev/null || refused 32 "$1: not mounted."
  find "$1" -mindepth 1 -delete
  grep -v -x -F -e "$1" /.dpra/mounted > /.dpra/still || true
  mv /.dpra/still /.dpra/mounted
}

"$(basename "$0")" "$@"
