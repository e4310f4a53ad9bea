#!/usr/bin/env bash
# Writes requirements.lock (what the daemon needs), requirements-full.lock (that, and the extras that packages for hosts
# have) and requirements-dev.lock (what the daemon, tests and lint need): versions and hashes of everything, for every platform. Run it by `make lock` on the oldest supported Python.
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
"${compile[@]}" --extra acme --extra metrics --extra pkcs11 -c requirements.lock -o requirements-full.lock pyproject.toml
"${compile[@]}" --extra dev -c requirements-full.lock -o requirements-dev.lock pyproject.toml
