#!/usr/bin/env bash
# Makes the virtual environment DIR, or completes an existing one, from a lock file and this source tree.
#
#   scripts/venv.sh DIR LOCKFILE [editable|fixed [FINAL]]
#
# FINAL is where DIR will be in the end, if that is elsewhere: what the environment says about its place is changed.
# Every package comes in the version and with one of the hashes of the lock file; the project itself is installed
# without asking any index: as a link to this tree, or as a copy. PYTHON chooses the interpreter of a new environment.
set -euo pipefail
venv=$1
lock=$2
mode=${3:-editable}
final=${4:-$venv}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
minimum="3, 11"

# An interpreter that is new enough. Version managers leave shims that do not run, hence the trial.
is_new_enough() {
    "$1" -c "import sys; sys.exit(sys.version_info < ($minimum))" >/dev/null 2>&1
}

can_make_venvs() {
    "$1" -c "import ensurepip, venv" >/dev/null 2>&1
}

# The system's interpreter comes first: other users, which helpers become, can run it; and one that was built without
# optimisation, as version managers do, is a third slower.
find_python() {
    local candidate
    for candidate in ${PYTHON:-/usr/bin/python3 python3.14 python3.13 python3.12 python3.11 python3}; do
        if is_new_enough "$candidate" && "$1" "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

if ! is_new_enough "$venv/bin/python"; then
    if ! python=$(find_python can_make_venvs); then
        if ! python=$(find_python is_new_enough); then
            echo "No Python ${minimum/, /.} or newer found (looked for: ${PYTHON:-/usr/bin/python3, python3.14 to python3.11, python3})." >&2
            echo "Debian 12: apt-get install python3 python3-venv" >&2
            exit 1
        fi
        version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
        package=python3-venv
        [ "$python" = python3 ] || [ "$python" = /usr/bin/python3 ] || package=$version-venv
        echo "$python lacks the venv module; it is in the Debian package $package"
        "$here/debian-packages.sh" "$package"
        can_make_venvs "$python" || { echo "$python still cannot make virtual environments" >&2; exit 1; }
    fi
    echo "Making $venv with $("$python" -V) ($(command -v "$python"))"
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi

echo "Installing from ${lock##*/}"
pip=("$venv/bin/python" -m pip --disable-pip-version-check --no-input)
compile=()
[ "$final" = "$venv" ] || compile=(--no-compile)    # compiled files would name this place
"${pip[@]}" install -qq "${compile[@]}" --require-hashes --only-binary :all: -r "$lock"
project=("$here/..")
[ "$mode" = fixed ] || project=(-e "${project[@]}")
exec 9<"$here/../pyproject.toml"
flock 9    # the build has a folder in the tree, which is for one at a time
rm -rf "$here/../build"
"${pip[@]}" install -qq "${compile[@]}" --no-deps --no-build-isolation --no-index --force-reinstall "${project[@]}" 9<&-
exec 9<&-
"$venv/bin/python" -c "import certmongerd, getcert, certmonger_helpers"
if [ "$final" != "$venv" ]; then
    # Links stay as they are: they point at the host's interpreter, or beside themselves.
    grep -rlI "$venv" "$venv/bin" "$venv/pyvenv.cfg" | xargs -r sed -i "s|$venv|$final|g"
    find "$venv" -name __pycache__ -prune -exec rm -rf {} +
fi
