#!/usr/bin/env bash
# look.sh VOLUME: what the gates need of the file system of an EBS volume, on standard output. It runs on an instance of
# AWS's own AMI; nothing of the volume is run, and nothing is written to it.
#
# Lines first: `dpra-look 1`, `capabilities yes` or `no`, `left-out MODE UID GID BYTES SHA256 PATH` for each file whose
# content is left out, `tar`; then a tar of all others, gzipped, in base64, and `end`. Left out are contents of more than
# $LARGEST bytes that no gate reads: neither of a package's database, nor a licence, nor named as what packages of languages
# bring, nor a program of Go or Rust, which say what is in them, nor a file with capabilities, nor below /etc.
set -euo pipefail
export LC_ALL=C
LARGEST=65536

failed() {
  printf 'look: %s\n' "$*" >&2
  exit 1
}

work=$(mktemp -d)
root=$work/root mounted=()
mkdir "$root"
: > "$work/left-out"
cleared() {
  local number
  for ((number = ${#mounted[@]} - 1; number >= 0; number--)); do umount "${mounted[number]}" || true; done
  rm -f "$work/left-out" "$work/large" "$work/capable" "$work/devices"
  rmdir "$root" "$work" || true # never more than that: what is still mounted is no matter of ours
}
trap cleared EXIT

field() { # field NAME OBJECT: of an object of JSON
  local pattern="\"$1\": *\"?([^\",}]*)"
  [[ $2 =~ $pattern && ${BASH_REMATCH[1]} != null ]] && printf '%s' "${BASH_REMATCH[1]}" || true
}

mount_at() { # mount_at DEVICE FSTYPE FOLDER
  local options=ro,nosuid,nodev,noexec
  case $2 in
    xfs) options+=,nouuid,norecovery ;;
    *) options+=,noload ;;
  esac
  mount -t "$2" -o "$options" "$1" "$3" || failed "the file system $2 of the volume cannot be mounted"
  mounted+=("$3")
}

# ---- Which file systems the volume has

volume=${1//-/}
[[ $volume =~ ^vol[0-9a-f]+$ ]] || failed "'$1' is no volume"
lsblk --json --paths --bytes --output NAME,SERIAL,FSTYPE,SIZE | tr -d '\n' | tr '{' '\n' > "$work/devices"
echo >> "$work/devices"
disk=
while IFS= read -r object; do
  serial=$(field serial "$object")
  if [[ -z $disk && ${serial//-/} == "$volume" ]]; then disk=$(field name "$object"); fi
done < "$work/devices"
[[ -n $disk ]] || failed "no block device has the serial $volume, as they have on instances of the Nitro system"
device='' type='' most=-1 others=()
while IFS= read -r object; do
  name=$(field name "$object") kind=$(field fstype "$object") size=$(field size "$object")
  [[ $name == "$disk" || $name =~ ^"$disk"p?[0-9]+$ ]] || continue
  case $kind in
    ext4 | xfs)
      if ((${size:-0} > most)); then
        [[ -z $device ]] || others+=("$device $type")
        device=$name type=$kind most=${size:-0}
      else
        others+=("$name $kind")
      fi
      ;;
    '' | swap | vfat) ;; # nothing, or what starts the machine: it knows neither owners nor packages
    *) failed "the volume has the file system $kind: only ext4 and xfs are looked at" ;;
  esac
done < "$work/devices"
[[ -n $device ]] || failed "the volume has no file system that is looked at: ext4 or xfs, and no LVM"
mount_at "/dev/${device#/dev/}" "$type" "$root"

# Another one lies where /etc/fstab says, if only one can be meant. Its own words for a device are not asked: the machine
# that looks may have one with the same label.
if ((${#others[@]} > 0)); then
  points=()
  while read -r from point kind _; do
    [[ $from =~ ^(LABEL=|UUID=|PARTUUID=|PARTLABEL=|/dev/) && $point == /?* && $kind =~ ^(auto|ext4|xfs)$ ]] || continue
    points+=("$point")
  done < <(cat "$root/etc/fstab" 2> /dev/null || true)
  ((${#others[@]} == 1 && ${#points[@]} == 1)) ||
    failed "the volume has $((1 + ${#others[@]})) file systems, of which /etc/fstab names ${#points[@]} besides the root"
  place=$root${points[0]%/}
  [[ -d $place && $(cd "$place" && pwd -P) == "$place" ]] || failed "/etc/fstab mounts ${points[0]}, which is no folder"
  other=${others[0]%% *}
  mount_at "/dev/${other#/dev/}" "${others[0]##* }" "$place"
fi
[[ -d $root/etc && -d $root/usr ]] || failed "the largest file system of the volume is no root: it has no etc or no usr"

# ---- What is in them

capabilities=no options=(-c -C "$root" -X "$work/left-out")
: > "$work/capable"
if [[ $(tar --version 2> /dev/null || true) == *GNU* ]]; then
  options+=(--format=posix --numeric-owner --xattrs '--xattrs-include=security.capability')
  if command -v getcap > /dev/null && getcap -r "$root" > "$work/capable"; then capabilities=yes; fi
fi
printf 'dpra-look 1\ncapabilities %s\n' "$capabilities"

kept() { # kept PATH NAME MODE: whether its content is needed
  case ${2,,} in
    etc/* | *sshd_config*) return 0 ;;
    var/lib/rpm/* | usr/lib/sysimage/rpm/* | usr/share/rpm/* | var/lib/rpmmanifest/*) return 0 ;;
    var/lib/dpkg/* | lib/apk/* | usr/lib/apk/* | var/lib/pacman/*) return 0 ;;
    *.jar | *.war | *.ear | *.par | *.egg | *.whl | *.gem | *.gemspec | *.nupkg) return 0 ;;
    *.json | *.xml | *.toml | *.lock | *.yml | *.yaml | *.spdx | *.cdx | */metadata | */pkg-info | *.egg-info) return 0 ;;
    *.mod | *.sum | *requirements*.txt) return 0 ;;
    usr/share/doc/* | usr/share/licenses/* | */licen[cs]e* | */copying* | */notice* | */copyright*) return 0 ;;
    *[[:space:]]*) return 0 ;; # tar's list of what it leaves out has lines
  esac
  if ((8#$3 & 8#111)) && grep -q -F -e ' Go buildinf:' -e '.dep-v0' "$1"; then return 0; fi
  [[ -s $work/capable ]] && grep -q -F -e "$1 " "$work/capable"
}

find "$root" -type f -size +${LARGEST}c -print0 > "$work/large"
while IFS= read -r -d '' path; do
  name=${path#"$root"/} about=$(stat -c '%a %u %g %s' "$path")
  if kept "$path" "$name" "${about%% *}"; then continue; fi
  sum=$(sha256sum < "$path")
  printf 'left-out %s %s %s\n' "$about" "${sum%% *}" "$name"
  escaped=${name//\\/\\\\} # it is a pattern
  escaped=${escaped//\*/\\*}
  escaped=${escaped//\?/\\?}
  printf './%s\n' "${escaped//\[/\\[}" >> "$work/left-out"
done < "$work/large"
echo tar
tar "${options[@]}" . | gzip -c | base64
echo end
