#!/usr/bin/env bash
# Installs the daemon for this host: the programs with what they need below PREFIX, links in /usr/local/bin, the names
# that other software starts helpers by, and the files for D-Bus and systemd. Run it as root, by `make install`;
# `make install PREFIX=/somewhere` chooses the place, DESTDIR=/stage a folder that everything goes below instead of /.
#
# An installed certmonger stays as it is, its helpers too. Nothing is started: README.md says how to change over.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
prefix=${1:-/opt/certmongerd}
root=${2:-}

[ "${prefix#/}" != "$prefix" ] || { echo "PREFIX has to begin with /: $prefix" >&2; exit 1; }
scripts/venv.sh "$root$prefix" requirements-full.lock fixed "$prefix"

put() {  # SOURCE DESTINATION: with the programs' place filled in
    install -d "$root$(dirname "$2")"
    sed "s|/usr/bin/certmongerd|$prefix/bin/certmongerd|" "$1" >"$root$2"
    chmod 644 "$root$2"
    echo "  $root$2"
}
link() {  # PATH TARGET
    install -d "$root$(dirname "$1")"
    ln -sfn "$2" "$root$1"
    echo "  $root$1"
}
link_unless_there() {  # PATH TARGET: somebody else's file stays
    if [ -L "$root$1" ] || [ ! -e "$root$1" ]; then
        link "$1" "$2"
    else
        echo "  $root$1 is certmonger's and stays"
    fi
}

echo "Installed:"
echo "  $root$prefix"
put dbus/org.fedorahosted.certmonger.conf /etc/dbus-1/system.d/org.fedorahosted.certmonger.conf
put dbus/system-services/org.fedorahosted.certmonger.service \
    /usr/local/share/dbus-1/system-services/org.fedorahosted.certmonger.service
put dbus/services/org.fedorahosted.certmonger.service /usr/local/share/dbus-1/services/org.fedorahosted.certmonger.service
put systemd/certmongerd.service /etc/systemd/system/certmongerd.service
put systemd/user/certmongerd.service /etc/systemd/user/certmongerd.service
put systemd/tmpfiles.d/certmongerd.conf /etc/tmpfiles.d/certmongerd.conf
put systemd/sysusers.d/certmongerd.conf /etc/sysusers.d/certmongerd.conf
if [ -n "$root" ]; then
    : # whoever installs the stage makes users and directories
elif command -v systemd-sysusers >/dev/null; then
    systemd-sysusers certmongerd.conf
    systemd-tmpfiles --create certmongerd.conf
else
    echo "  not made without systemd: the user certmonger-helper, the directories of /etc/tmpfiles.d/certmongerd.conf"
fi
scripts/share.sh "$root$prefix/bin/python" "$root/usr/local/share" zsh/site-functions
echo "  $root/usr/local/share: manual pages, completion for bash, zsh and fish"
for program in certmongerd getcert local-getcert selfsign-getcert ipa-getcert; do
    link "/usr/local/bin/$program" "$prefix/bin/$program"
done
# FreeIPA and others start helpers and the daemon of a session by these names (Fedora has its own folder for them).
for folder in /usr/lib/certmonger /usr/libexec/certmonger; do
    [ "$folder" = /usr/lib/certmonger ] || [ -d "$root$folder" ] || continue
    link_unless_there "$folder/certmonger-session" "$prefix/bin/certmongerd"
    for helper in "$root$prefix"/lib/python3*/site-packages/certmonger_helpers/bin/*; do
        link_unless_there "$folder/${helper##*/}" "${helper#"$root"}"
    done
done
