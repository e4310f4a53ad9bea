"""certmonger itself (Debian's), on a private bus and in directories of its own or of a `DaemonUnderTest`."""

import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fakes.message_bus import Bus

LIMIT_S: Final = 30.0


@dataclass
class Certmonger:
    """certmonger's daemon and client; the directories below *root* are laid out as those of `DaemonUnderTest`."""

    root: Path
    process: subprocess.Popen[bytes] | None = None
    bus: Bus | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(self.root),
            "DBUS_SESSION_BUS_ADDRESS": self.bus.address if self.bus is not None else "",
            "CERTMONGER_CONFIG_DIR": str(self.root / "config"),
            "CERTMONGER_REQUESTS_DIR": str(self.root / "requests"),
            "CERTMONGER_CAS_DIR": str(self.root / "cas"),
            "CERTMONGER_LOCAL_CA_DIR": str(self.root / "local"),
            "CERTMONGER_TMPDIR": str(self.root / "tmp"),
            "CERTMONGER_SYSTEM_LOCK_FILE": str(self.root / "lock"),
        }

    def start(self) -> None:
        """Start and wait until it answers."""
        for name in ("config", "local", "tmp", "bus"):
            (self.root / name).mkdir(exist_ok=True)
        self.bus = Bus(self.root / "bus")
        with (self.root / "certmonger.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["certmonger", "-s", "-n", "-d", "3"], env=self.environment, stdout=log, stderr=log
            )
        self.wait(lambda: self.getcert("list-cas").returncode == 0)

    def wait(self, condition: Callable[[], bool]) -> None:
        """Until *condition* is met; AssertionError with the log when the daemon ends or it takes too long."""
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.root / "certmonger.log").read_text()[-5000:])
            time.sleep(0.05)

    def getcert(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run Debian's getcert against this daemon."""
        return subprocess.run(
            ["/usr/bin/getcert", *map(str, arguments), "-s"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def listed(self) -> dict[str, str]:
        """The states of all requests by nickname."""
        output = self.getcert("list").stdout
        return dict(re.findall(r"^Request ID '(.*)':\n\tstatus: (\w+)$", output, re.MULTILINE))

    def stop(self) -> None:
        """End daemon and bus."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.bus is not None:
            self.bus.stop()
        self.process = self.bus = None
