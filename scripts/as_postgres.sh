#!/usr/bin/env bash
#
# Run a command as somebody PostgreSQL accepts: not root.
#
#   scripts/as_postgres.sh [--back PATH]... COMMAND [ARGUMENT]...
#
# An ordinary user gets the command run as it is, in the top of the tree.
#
# For root the command is run as user postgres (nobody, if there is none) in a
# copy of the tree under the system's directory for temporary files, because
# root's checkout may be in a directory that nobody else can enter.  The copy is
# whole, with what has been built, and keeps its times, so that make finds
# nothing to do in it; only .git and what servers leave behind stay out.  HOME
# points into it.  Afterwards each PATH given with --back (a result directory, a
# file of differences) is brought back into the tree, if the command made it, and
# the copy is removed.  The exit status is the command's.
#
# Either way PATH begins with PostgreSQL's own programs, which Debian keeps out
# of it, and TOPK_TOP names the tree that was called from.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export TOPK_TOP=$top
PATH=$("${PG_CONFIG:-pg_config}" --bindir):$PATH
export PATH

usage()
{
    sed -n '3,5p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//' >&2
    exit 2
}

unprivileged_user()
{
    if getent passwd postgres >/dev/null
    then
        echo postgres
    else
        echo nobody
    fi
}

copy_tree()
{
    tar -C "$top" --exclude=./.git --exclude=./.dev --exclude='./tmp_check*' --exclude=./results --exclude=./log -cf - . |
        tar -C "$copy" -xf -
    chown -R "$user" "$copy"
}

bring_back()
{
    local path

    for path in "${back[@]}"
    do
        [ -e "$copy/$path" ] || continue
        rm -rf "${top:?}/$path"
        mkdir -p "$(dirname "$top/$path")"
        cp -R "$copy/$path" "$top/$path"
    done
}

# Servers that a test lost must not outlive it; they are known by their user and directory.
end_strays()
{
    local pid

    for pid in $(pgrep -u "$user" || true)
    do
        case $(readlink "/proc/$pid/cwd" || true) in
            "$copy"|"$copy"/*) kill "-$1" "$pid" 2>/dev/null || true; found=1 ;;
        esac
    done
}

clean_up()
{
    local found='' signal

    for signal in TERM KILL
    do
        found=
        end_strays "$signal"
        [ -z "$found" ] || sleep 2
    done
    bring_back
    rm -rf "$copy"
}

back=()
while [ "${1:-}" = --back ]
do
    [ $# -ge 2 ] || usage
    back+=("$2")
    shift 2
done
[ $# -ge 1 ] || usage

if [ "$(id -u)" -ne 0 ]
then
    cd "$top"
    exec "$@"
fi

user=$(unprivileged_user)
copy=$(mktemp -d "${TMPDIR:-/tmp}/topk.XXXXXX")
trap clean_up EXIT
copy_tree
cd "$copy"

# In the background only so that a TERM for this script reaches the command at once.  A shell makes
# such a command deaf to Ctrl-C and takes its standard input away; both are given back here.
setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups \
    env --default-signal=INT,QUIT HOME="$copy" USER="$user" LOGNAME="$user" "$@" <&0 &
command=$!
trap ':' INT
trap 'kill -TERM "$command" 2>/dev/null || true' TERM
status=0
wait "$command" || status=$?
while kill -0 "$command" 2>/dev/null
do
    status=0
    wait "$command" || status=$?
done
exit "$status"
