#!/bin/sh
# Usage: install.sh LOCK STAMP. Build .venv from a lock file; uv if it is here and reaches the packages, else pip.
# Every failure a person can mend ends in one sentence.
set -eu

lock=$1
stamp=$2
python=${PYTHON:-python3}

fail() {
    echo "$1" >&2
    exit 1
}

command -v "$python" >/dev/null 2>&1 || fail "Python is missing: install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "EduRise needs Python 3.11 or newer, and $python is $("$python" -V 2>&1): name another, make PYTHON=python3.12."

if ! [ -x .venv/bin/python ] || ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    rm -rf .venv
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "Python's venv module is missing: on Debian run 'apt-get install python3-venv', then make again."
    log=$(mktemp)
    "$python" -m venv .venv >"$log" 2>&1 || fail "Python could not make .venv: $(tail -n 1 "$log")"
    rm -f "$log"
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT INT TERM
echo "Installing $lock into .venv (once) ..."
if command -v uv >/dev/null 2>&1 &&
    uv pip install --quiet --python .venv/bin/python --only-binary :all: --require-hashes -r "$lock" >"$log" 2>&1; then
    :
elif .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --only-binary :all: \
    --require-hashes -r "$lock" >"$log" 2>&1; then
    :
else
    missing=$(sed -n 's/^ERROR: No matching distribution found for \([^ ]*\).*/\1/p' "$log" | head -n 1)
    if [ -n "$missing" ]; then
        fail "No wheel of $missing was found for this platform ($("$python" -c 'import platform; print(platform.platform())')) or the package index cannot be reached."
    fi
    fail "The packages of $lock could not be installed: $(grep -m 1 '^ERROR' "$log" || tail -n 1 "$log")"
fi
touch "$stamp"
