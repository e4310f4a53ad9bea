#!/usr/bin/env bash
# Builds dist/certmongerd_VERSION_ARCHITECTURE.deb: the daemon in certmonger's place, with its own copy of the Python
# packages of requirements-full.lock, for the distribution's Python of the machine it is built on. Run it by `make deb`.
#
# Nothing of the package is below /etc/certmonger or /var/lib/certmonger: what an installed certmonger has there stays
# as it is, and is there for it again when the packages are changed back.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
output=${1:-dist}
home=/usr/lib/certmongerd

for tool in dpkg-deb dpkg fakeroot; do
    command -v "$tool" >/dev/null || { echo "$tool is not installed: apt-get install dpkg fakeroot" >&2; exit 1; }
done
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' certmongerd/__init__.py)
architecture=$(dpkg --print-architecture)
python_version=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
python_next=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % (sys.version_info[0], sys.version_info[1] + 1))')

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root$home" "$root/DEBIAN"
chmod 755 "$root" "$root/DEBIAN"

PYTHON=/usr/bin/python3 scripts/venv.sh "$root$home" requirements-full.lock fixed "$home"
rm -rf "$root$home"/bin/{activate*,Activate*,pip*,cffi*,idna} "$root$home/include"
rm -rf "$root$home/lib/python$python_version/site-packages"/{pip,pip-*,setuptools,setuptools-*,_distutils_hack,distutils-precedence.pth}
/usr/bin/python3 -m compileall -q -s "$root" "$root$home/lib"

link() {  # PATH TARGET
    install -d "$root$(dirname "$1")"
    ln -s "$2" "$root$1"
}
put() {  # SOURCE DESTINATION
    install -d "$root$(dirname "$2")"
    sed -e "s|/usr/bin/certmongerd|$home/bin/certmongerd|" -e "s|SystemdService=certmongerd.service|SystemdService=certmonger.service|" \
        -e "s|^Alias=certmonger.service|Alias=certmongerd.service|" "$1" >"$root$2"
    chmod 644 "$root$2"
}
link /usr/sbin/certmonger "$home/bin/certmongerd"
link /usr/sbin/certmongerd "$home/bin/certmongerd"
link /usr/lib/certmonger/certmonger-session "$home/bin/certmongerd"
for program in getcert local-getcert selfsign-getcert ipa-getcert; do
    link "/usr/bin/$program" "$home/bin/$program"
done
for helper in "$root$home/lib/python$python_version/site-packages/certmonger_helpers/bin/"*; do
    link "/usr/lib/certmonger/$(basename "$helper")" "${helper#"$root"}"
done
put dbus/org.fedorahosted.certmonger.conf /usr/share/dbus-1/system.d/org.fedorahosted.certmonger.conf
put dbus/system-services/org.fedorahosted.certmonger.service \
    /usr/share/dbus-1/system-services/org.fedorahosted.certmonger.service
put dbus/services/org.fedorahosted.certmonger.service /usr/share/dbus-1/services/org.fedorahosted.certmonger.service
# Under the name that certmonger's unit had: what was enabled stays enabled.
put systemd/certmongerd.service /lib/systemd/system/certmonger.service
put systemd/user/certmongerd.service /usr/lib/systemd/user/certmongerd.service
put systemd/tmpfiles.d/certmongerd.conf /usr/lib/tmpfiles.d/certmongerd.conf
put systemd/sysusers.d/certmongerd.conf /usr/lib/sysusers.d/certmongerd.conf
install -Dm 644 dbus/readers.conf.example "$root/usr/share/doc/certmongerd/examples/readers.conf"
install -Dm 644 systemd/certmongerd-tpm.conf "$root/usr/share/doc/certmongerd/examples/tpm.conf"
scripts/share.sh "$root$home/bin/python" "$root/usr/share" zsh/vendor-completions
find "$root/usr/share/man" -type f -exec gzip -9n {} +
install -Dm 644 LICENSE "$root/usr/share/doc/certmongerd/copyright"
gzip -9nc CHANGELOG.md >"$work/changelog.gz"
install -Dm 644 "$work/changelog.gz" "$root/usr/share/doc/certmongerd/changelog.gz"

sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@PYTHON@/$python_version/" \
    -e "s/@PYTHON_NEXT@/$python_next/" -e "s/@SIZE@/$(du -sk "$root" | cut -f1)/" \
    scripts/deb/control >"$root/DEBIAN/control"
for script in postinst prerm postrm; do
    install -m 755 "scripts/deb/$script" "$root/DEBIAN/$script"
done
mkdir -p "$output"
package=$output/certmongerd_${version}_$architecture.deb
fakeroot dpkg-deb --build --root-owner-group "$root" "$package" >/dev/null
echo "$package"
