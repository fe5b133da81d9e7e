#!/usr/bin/env bash
#
# Run a command with two small disks that it can fill: test/nemesis/small_disks.sh COMMAND [ARGUMENT]...
#
# They are tmpfs of NEMESIS_DISK_SIZE (512m) in a mount namespace of the command's own, so nobody else sees them
# and nothing of them is left behind.  Root needs no more than that; an ordinary user gets a user namespace around
# it.  The command finds their directories in NEMESIS_DISKS, joined by a colon; where a machine allows neither
# namespace, the reason is in NEMESIS_NO_DISKS, and the command runs all the same.
set -euo pipefail

[ $# -ge 1 ] || { echo "usage: small_disks.sh COMMAND [ARGUMENT]..." >&2; exit 2; }
size=${NEMESIS_DISK_SIZE:-512m}
base=$(mktemp -d "${TMPDIR:-/tmp}/nemesis.XXXXXX")
chmod 755 "$base"
mkdir "$base/1" "$base/2"
trap 'rmdir "$base/1" "$base/2" "$base"' EXIT

# In the namespace: mount, then run the rest, as the user that we were.
# shellcheck disable=SC2016
inside='
for disk in "$1/1" "$1/2"
do
    mount -t tmpfs -o "size=$2,mode=1777" tmpfs "$disk"
done
NEMESIS_DISKS=$1/1:$1/2
export NEMESIS_DISKS
user=$3 group=$4
shift 4
if [ "$user" -eq 0 ]
then
    exec "$@"
fi
exec unshare --user --map-user="$user" --map-group="$group" -- "$@"'

if [ "$(id -u)" -eq 0 ]
then
    space=(unshare --mount)
else
    space=(unshare --user --map-root-user --mount)
fi
if why=$("${space[@]}" -- sh -ec "$inside" sh "$base" "$size" "$(id -u)" "$(id -g)" true 2>&1)
then
    "${space[@]}" -- sh -ec "$inside" sh "$base" "$size" "$(id -u)" "$(id -g)" "$@"
else
    NEMESIS_NO_DISKS="no mount namespace: ${why:-unshare failed}" "$@"
fi
