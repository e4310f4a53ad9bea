"""What a service manager is told: readiness, status and signs of life, over the socket of sd_notify(3)."""

import os
import socket
import time
from collections.abc import Mapping
from typing import Final, Self

_MICROSECONDS: Final = 1_000_000


class ServiceManager:
    """The manager that started this process; without one every message goes nowhere."""

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        self._address = address
        self.watchdog_s = watchdog_s
        """Longest time between two signs of life that the manager accepts; None when it wants none."""

    @property
    def is_there(self) -> bool:
        """Whether there is a manager to tell something."""
        return self._address is not None

    @classmethod
    def of(cls, environ: Mapping[str, str], pid: int) -> Self:
        """The manager that `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` name for process *pid*."""
        address = environ.get("NOTIFY_SOCKET") or None
        usec, meant = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
        is_ours = meant in ("", str(pid)) and usec.isascii() and usec.isdecimal() and int(usec) > 0
        return cls(address, int(usec) / _MICROSECONDS if address and is_ours else None)

    def ready(self, status: str) -> None:
        """The daemon answers calls; also ends a reload."""
        self._tell(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """The settings are being read again."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The daemon is about to end."""
        self._tell("STOPPING=1")

    def alive(self, status: str) -> None:
        """The event loop turns; *status* is one line for people."""
        self._tell(f"WATCHDOG=1\nSTATUS={status}")

    def _tell(self, text: str) -> None:
        if self._address is None:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            ) as manager:
                manager.sendto(text.encode(), address)
        except OSError:
            # A manager that does not listen has no use for the message; the daemon's work does not depend on it.
            return


def take_from_environment(environ: "os._Environ[str]") -> ServiceManager:
    """The manager of this process; its variables are removed, lest hooks and helpers speak for the daemon."""
    manager = ServiceManager.of(environ, os.getpid())
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        environ.pop(name, None)
    return manager
