#!/usr/bin/env bash
# Writes requirements.lock (what the daemon needs) and requirements-dev.lock (that, and what tests and lint need):
# versions and hashes of everything, for every platform. Run it by `make lock` on the oldest supported Python.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"${PYTHON:-python3.11}" -m venv "$tools"
"$tools/bin/pip" install -q pip-tools
export CUSTOM_COMPILE_COMMAND="make lock"
compile=("$tools/bin/pip-compile" -q --upgrade --generate-hashes --allow-unsafe --strip-extras --build-deps-for editable
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host)
"${compile[@]}" -o requirements.lock pyproject.toml
"${compile[@]}" --extra dev -c requirements.lock -o requirements-dev.lock pyproject.toml
