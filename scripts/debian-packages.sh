#!/usr/bin/env bash
# Makes sure that Debian packages are there: installs the missing ones when run by root, otherwise says which are
# missing and fails. Without arguments: those of debian-packages.txt.
#
# Packages that bring a service do not start it: for the time of the installation a policy-rc.d forbids that
# (an existing policy is left alone).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

packages=("$@")
if [ ${#packages[@]} -eq 0 ]; then
    mapfile -t packages < <(sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$here/debian-packages.txt")
fi

if ! command -v dpkg-query >/dev/null; then
    echo "This is not a Debian system. Install what contains: ${packages[*]}" >&2
    echo "(package names of Debian; then run the target again with SKIP_PACKAGES=1)" >&2
    exit 1
fi

is_installed() {
    local status
    status=$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) && [ "$status" = installed ]
}

list_missing() {
    local package
    for package in "${packages[@]}"; do
        is_installed "$package" || printf '%s\n' "$package"
    done
}

mapfile -t missing < <(list_missing)
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "Missing Debian packages: ${missing[*]}" >&2
    echo "Install them:  sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi

log=$(mktemp)
policy=/usr/sbin/policy-rc.d
own_policy=
clean_up() {
    rm -f "$log"
    [ -z "$own_policy" ] || rm -f "$own_policy"
}
trap clean_up EXIT
if [ ! -e "$policy" ]; then
    own_policy=$policy
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

install_missing() {
    apt-get update -q && apt-get install -y -q --no-install-recommends -o Dpkg::Options::=--force-confold "${missing[@]}"
}

echo "Installing Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
if ! install_missing </dev/null >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    echo "apt-get could not install: ${missing[*]}" >&2
    exit 1
fi
