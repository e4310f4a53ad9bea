"""The Debian package, installed over certmonger on a copy of this host's root, and taken away again."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]

CHANGE_OVER = r"""
set -eux
mount -t tmpfs none "$WORK"
mkdir "$WORK/upper" "$WORK/work" "$WORK/root"
mount -t overlay none -o "lowerdir=/,upperdir=$WORK/upper,workdir=$WORK/work" "$WORK/root"
mount -t proc proc "$WORK/root/proc"
cp "$PACKAGE" "$WORK/root/tmp/new.deb"
cp "$ORIGINAL"/certmonger_*.deb "$WORK/root/tmp/old.deb"
printf '#!/bin/sh\nexit 101\n' >"$WORK/root/usr/sbin/policy-rc.d"
chmod 755 "$WORK/root/usr/sbin/policy-rc.d"
chroot "$WORK/root" /bin/bash -eux <<'INSIDE'
rm -f /var/lib/man-db/auto-update
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
with_daemon() { /usr/sbin/certmonger -n -L -P /tmp/socket -c "$1"; }
rm -rf /var/lib/certmonger && dpkg -i /tmp/old.deb >/dev/null
echo "# kept" >>/etc/certmonger/certmonger.conf

with_daemon "getcert request -I old -c SelfSign -N CN=old -f /etc/old.crt -k /etc/old.key -w"
before=$(sha256sum /etc/old.crt)

dpkg -i /tmp/new.deb
/usr/sbin/certmonger -v
getent passwd certmonger-helper >/dev/null
with_daemon "getcert list"
with_daemon "getcert request -I new -c local -N CN=new -f /etc/new.crt -k /etc/new.key -w"
with_daemon "local-getcert list"
test "$before" = "$(sha256sum /etc/old.crt)"
tail -n 1 /etc/certmonger/certmonger.conf
ls /usr/lib/certmonger

dpkg -r certmongerd
dpkg -i /tmp/old.deb
/usr/sbin/certmonger -v
with_daemon "getcert list"
tail -n 1 /etc/certmonger/certmonger.conf
dpkg -P certmonger >/dev/null && dpkg -i /tmp/new.deb && dpkg -P certmongerd
test -d /var/lib/certmonger/requests
INSIDE
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    built = subprocess.run(
        [str(PROJECT / "scripts" / "deb.sh"), str(folder)],
        env={**os.environ, "DPKG_DEB_COMPRESSOR_TYPE": "gzip", "DPKG_DEB_COMPRESSOR_LEVEL": "1"},  # quickly
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("*.deb")
    return path


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of certmonger's own package."""
    folder = tmp_path_factory.mktemp("original")
    apt = shutil.which("apt-get")
    assert apt is not None, "this test needs Debian"
    folder.chmod(0o777)
    subprocess.run([apt, "download", "-q", "certmonger"], cwd=folder, check=True, capture_output=True, timeout=120)
    return folder


def test_the_package_has_certmongers_names_and_nothing_where_state_is(package: Path) -> None:
    listing = subprocess.run(["dpkg", "-c", str(package)], capture_output=True, text=True, check=True).stdout
    names = {line.split()[5].removeprefix(".") for line in listing.splitlines()}
    for name in (
        "/usr/sbin/certmonger",
        "/usr/bin/getcert",
        "/usr/bin/ipa-getcert",
        "/usr/lib/certmonger/scep-submit",
        "/usr/lib/certmonger/local-submit",
        "/usr/lib/certmonger/ipa-submit",
        "/usr/lib/certmonger/dogtag-submit",
        "/usr/lib/certmonger/dogtag-ipa-renew-agent-submit",
        "/usr/lib/certmonger/certmonger-session",
        "/usr/lib/certmonger/acme-submit",
        "/usr/lib/certmonger/est-submit",
        "/lib/systemd/system/certmonger.service",
        "/usr/lib/systemd/user/certmongerd.service",
        "/usr/lib/sysusers.d/certmongerd.conf",
        "/usr/lib/tmpfiles.d/certmongerd.conf",
        "/usr/share/man/man1/getcert-request.1.gz",
        "/usr/share/man/man1/ipa-getcert.1.gz",
        "/usr/share/man/man5/certmonger.conf.5.gz",
        "/usr/share/man/man8/certmonger.8.gz",
        "/usr/share/man/man8/certmonger-scep-submit.8.gz",
        "/usr/share/bash-completion/completions/getcert",
        "/usr/share/bash-completion/completions/ipa-getcert",
        "/usr/share/zsh/vendor-completions/_getcert",
        "/usr/share/fish/vendor_completions.d/getcert.fish",
    ):
        assert name in names
    assert not [name for name in names if name.startswith(("/etc/", "/var/"))]
    for package_of_an_extra in ("acme", "josepy", "pkcs11", "prometheus_client"):
        assert [name for name in names if name.endswith(f"/site-packages/{package_of_an_extra}/")]


def test_certificates_stay_tracked_when_the_packages_change_and_change_back(
    package: Path, original: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", CHANGE_OVER],
        env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "WORK": str(tmp_path),
            "PACKAGE": str(package),
            "ORIGINAL": str(original),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    first, _, rest = done.stdout.partition("certmongerd 0.")
    second, _, third = rest.partition("certmonger 0.79")
    assert "old" in first
    for shown in (second, third):
        assert "Request ID 'old':\n\tstatus: MONITORING" in shown
        assert "# kept" in shown
    assert "Request ID 'new':\n\tstatus: MONITORING" in second
    assert "Request ID 'new':\n\tstatus: MONITORING" in third
