#!/usr/bin/env bash
# Installs the daemon for this host: the programs with what they need below PREFIX, links in /usr/local/bin, and the
# files for D-Bus and systemd. Run it as root, by `make install`; `make install PREFIX=/somewhere` chooses the place.
#
# An installed certmonger stays where it is. Nothing is started: README.md says how to change over.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
prefix=${1:-/opt/certmongerd}
root=${2:-}    # another root folder for everything but PREFIX, for trying this out

scripts/venv.sh "$prefix" requirements.lock fixed

put() {  # SOURCE DESTINATION: with the programs' place filled in
    install -d "$root$(dirname "$2")"
    sed "s|/usr/bin/certmongerd|$prefix/bin/certmongerd|" "$1" >"$root$2"
    chmod 644 "$root$2"
    echo "  $root$2"
}

echo "Installed:"
echo "  $prefix"
put dbus/org.fedorahosted.certmonger.conf /etc/dbus-1/system.d/org.fedorahosted.certmonger.conf
put dbus/system-services/org.fedorahosted.certmonger.service \
    /usr/local/share/dbus-1/system-services/org.fedorahosted.certmonger.service
put dbus/services/org.fedorahosted.certmonger.service /usr/local/share/dbus-1/services/org.fedorahosted.certmonger.service
put systemd/certmongerd.service /etc/systemd/system/certmongerd.service
put systemd/user/certmongerd.service /etc/systemd/user/certmongerd.service
put systemd/tmpfiles.d/certmongerd.conf /etc/tmpfiles.d/certmongerd.conf
put systemd/sysusers.d/certmongerd.conf /etc/sysusers.d/certmongerd.conf
for tool in systemd-sysusers systemd-tmpfiles; do
    command -v $tool >/dev/null || { echo "  without $tool: make the user and the directories yourself, see README.md"; continue; }
    case $tool in
    systemd-sysusers) $tool ${root:+--root="$root"} certmongerd.conf ;;
    systemd-tmpfiles) $tool ${root:+--root="$root"} --create certmongerd.conf ;;
    esac
done
scripts/share.sh "$prefix/bin/python" "$root/usr/local/share" zsh/site-functions
echo "  $root/usr/local/share: manual pages, completion for bash, zsh and fish"
install -d "$root/usr/local/bin"
for program in certmongerd getcert local-getcert selfsign-getcert ipa-getcert; do
    ln -sfn "$prefix/bin/$program" "$root/usr/local/bin/$program"
    echo "  $root/usr/local/bin/$program"
done
