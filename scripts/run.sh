#!/usr/bin/env bash
# The daemon in the foreground, on a private socket, with its state below ./.run: nothing of the host is touched.
#
#   scripts/run.sh VENV [OPTION of certmongerd]...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=$(cd "$1" && pwd)
shift
state=${CERTMONGERD_RUN_DIR:-$PWD/.run}
mkdir -p "$state"/{config,requests,cas,local,tmp}
export HOME=$state
export CERTMONGER_CONFIG_DIR=$state/config CERTMONGER_REQUESTS_DIR=$state/requests CERTMONGER_CAS_DIR=$state/cas
export CERTMONGER_LOCAL_CA_DIR=$state/local CERTMONGER_TMPDIR=$state/tmp CERTMONGER_SYSTEM_LOCK_FILE=$state/lock
echo "In another terminal:"
echo "  export CERTMONGER_PVT_ADDRESS=unix:path=$state/socket"
echo "  $venv/bin/getcert list-cas"
exec "$venv/bin/certmongerd" -n -L -P "$state/socket" "$@"
