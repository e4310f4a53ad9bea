"""A host of its own for tests: systemd as process 1 on a copy of this machine's root, with a real system bus.

The copy is an overlay in memory; process, mount, network, IPC, host name and control group namespaces are private, the
kernel's settings read-only. Nothing that happens in it is seen outside, and it ends with the test.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).parents[1]
BIN: Final = Path(sys.executable).parent
_START_LIMIT_S: Final = 90.0

_BOOT = r"""
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 none "$WORK"
mkdir "$WORK/upper" "$WORK/work" "$WORK/root"
root=$WORK/root
mount -t overlay none -o "lowerdir=/,upperdir=$WORK/upper,workdir=$WORK/work" "$root"
ip link set lo up
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for directory in dev run tmp; do mount -t tmpfs -o mode=755 none "$root/$directory"; done
chmod 1777 "$root/tmp"
mkdir "$root/dev/shm" "$root/dev/pts" "$root/old"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device" && mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
: >"$root/etc/fstab"
for unit in timers.target systemd-udevd.service systemd-sysctl.service systemd-modules-load.service \
    systemd-random-seed.service systemd-logind.service certmonger.service; do
    rm -f "$root/etc/systemd/system/$unit"
    ln -s /dev/null "$root/etc/systemd/system/$unit"
done
rm -rf "$root/var/lib/certmonger" "$root/etc/certmonger"
cd "$root"
pivot_root . old
umount -l /old
mount --make-rshared /
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=basic.target \
    --log-target=console --show-status=0
"""


class SystemdHost:
    """Boots in *folder*; `run` and `systemctl` work inside."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "boot"
        self._group = _control_groups() / f"certmongerd-test-{os.getpid()}"
        self._group.mkdir()
        work = folder / "root"
        work.mkdir()
        enter = f'echo $$ >"{self._group}/cgroup.procs"; exec unshare --cgroup "$@"'
        namespaces = ("--pid", "--mount", "--net", "--uts", "--ipc", "--fork", "--kill-child")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", enter, "sh", *namespaces, "sh", "-c", _BOOT],
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "WORK": str(work)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._await_boot()
        except BaseException:
            self.close()
            raise

    def _await_boot(self) -> None:
        deadline = time.monotonic() + _START_LIMIT_S
        state = ""
        while state not in ("running", "degraded"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"systemd did not start:\n{self._log.read_text(errors='replace')}")
            time.sleep(0.1)
            if self._init():
                state = self.run("systemctl", "is-system-running", check=False).stdout.strip()

    def _init(self) -> str:
        """The id that process 1 of the inside has outside; empty before it is there."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return children.read_text().strip()

    def run(self, *command: str | Path, check: bool = True, uid: int = 0) -> subprocess.CompletedProcess[str]:
        """Run *command* inside, as root or *uid*, outside of every unit; it has to succeed unless *check* is False."""
        entering = ["nsenter", "--target", self._init(), "--all", "--root", "--wd"]
        became = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid else []
        done = subprocess.run(
            [*entering, *became, *map(str, command)],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "SYSTEMD_PAGER": ""},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{command}: status {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """A file inside."""
        script = 'mkdir -p "$(dirname "$1")" && printf %s "$2" >"$1" && chmod "$3" "$1"'
        self.run("sh", "-c", script, "sh", path, text, f"{mode:o}")

    def read(self, path: str) -> str:
        """Text of a file inside."""
        return self.run("cat", path).stdout

    def install(self) -> None:
        """The daemon of this project as a service, started; what is installed runs from the test's environment."""
        unit = (PROJECT / "systemd" / "certmongerd.service").read_text()
        self.write(
            "/etc/systemd/system/certmongerd.service", unit.replace("/usr/bin/certmongerd", f"{BIN}/certmongerd")
        )
        policy = PROJECT / "dbus" / "org.fedorahosted.certmonger.conf"
        self.write("/etc/dbus-1/system.d/org.fedorahosted.certmonger.conf", policy.read_text())
        for kind in ("tmpfiles.d", "sysusers.d"):
            self.write(f"/etc/{kind}/certmongerd.conf", (PROJECT / "systemd" / kind / "certmongerd.conf").read_text())
        self.run("systemd-sysusers", "certmongerd.conf")
        self.run("systemd-tmpfiles", "--create", "certmongerd.conf")
        self.write("/etc/default/certmonger", "OPTS=-d3\n")
        self.run("systemctl", "daemon-reload")
        self.run("systemctl", "start", "dbus.service")
        self.run("systemctl", "start", "certmongerd.service")

    def getcert(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """The client, on the system bus."""
        return self.run(BIN / "getcert", *arguments, check=check)

    def journal(self, unit: str = "certmongerd.service") -> str:
        """What a unit logged."""
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}").stdout

    def close(self) -> None:
        """End everything inside."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        deadline = time.monotonic() + 10
        while self._group.exists() and time.monotonic() < deadline:
            for group in sorted(self._group.rglob("*"), reverse=True):
                if group.is_dir():
                    with contextlib.suppress(OSError):
                        group.rmdir()
            with contextlib.suppress(OSError):
                self._group.rmdir()
            time.sleep(0.05)


def _control_groups() -> Path:
    """Where the machine's own unified hierarchy of control groups is mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    raise AssertionError("this test needs control groups, version 2")
