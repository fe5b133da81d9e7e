#!/usr/bin/env bash
#
# Make a Python environment with the libraries that tests compare with (test/interop/requirements.txt), in a
# directory, build/venv by default.
#
#   scripts/python-venv.sh [DIRECTORY]
#
# Does nothing when it is there.  It is made beside that place and moved there
# whole, so that an interrupted run leaves nothing half done; what is in it works
# in any place, as long as it is run as DIRECTORY/bin/python PROGRAM.  It is made
# with the system's Python, or PYTHON: one in root's home would be out of reach of
# the user that the tests run as.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
requirements=$here/../test/interop/requirements.txt
target=${1:-$here/../build/venv}
python=${PYTHON:-/usr/bin/python3}

! cmp -s "$requirements" "$target/requirements.txt" || exit 0

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null
then
    echo "python-venv: $python or its venv is missing; scripts/bootstrap.sh test installs it" >&2
    exit 1
fi
echo "==> fetching $(paste -sd ' ' "$requirements") from PyPI (once)" >&2
mkdir -p "$(dirname "$target")"
new=$(mktemp -d "$target.XXXXXX")
trap 'rm -rf "$new" "$new.log"' EXIT
if ! { "$python" -m venv "$new" && "$new/bin/python" -m pip install -q --no-input -r "$requirements" &&
    "$new/bin/python" -m pip uninstall -q --no-input -y setuptools pip; } >"$new.log" 2>&1
then
    cat "$new.log" >&2
    echo "python-venv: the environment could not be made" >&2
    exit 1
fi
cp "$requirements" "$new/requirements.txt"
chmod 755 "$new"
rm -rf "$target"
mv "$new" "$target"
