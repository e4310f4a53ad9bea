#!/usr/bin/env bash
# Writes what belongs to the programs besides themselves, for install.sh and deb.sh: manual pages, and completion for
# shells.
#
#   scripts/share.sh PYTHON SHARE ZSH_FOLDER
#
# PYTHON is the interpreter of the environment with the programs; the files go below SHARE (/usr/share), those for
# zsh to SHARE/ZSH_FOLDER.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$1
share=$2
zsh=$share/$3
bash=$share/bash-completion/completions
fish=$share/fish/vendor_completions.d

"$python" -B scripts/manpages.py "$share/man"
mkdir -p "$bash" "$zsh" "$fish"
"$python" -B -m getcert completion bash >"$bash/getcert"
"$python" -B -m getcert completion zsh >"$zsh/_getcert"
"$python" -B -m getcert completion fish >"$fish/getcert.fish"
for alias in local-getcert selfsign-getcert ipa-getcert; do  # bash and fish look for the name that is typed
    ln -sfn getcert "$bash/$alias"
    ln -sfn getcert.fish "$fish/$alias.fish"
done
chmod 644 "$bash/getcert" "$zsh/_getcert" "$fish/getcert.fish"
