"""What a helper that root's daemon started gives up before it speaks to a network.

It reads the files that its options name as root; what a server sends it meets a process that owns nothing, has no
capability, cannot gain any, and cannot be inspected by other helpers of its user (credentials(7), ptrace(2)).
"""

import ctypes
import importlib
import os
import pwd
import struct
from pathlib import Path
from typing import Final

from certmonger_helpers.outcome import Unconfigured
from certmongerd.store.service_user import SERVICE_USER, service_user

_PR_SET_KEEPCAPS: Final = 8
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION_3: Final = 0x20080522
_CAP_NET_BIND_SERVICE: Final = 10
_LOADED_LATE: Final = ("concurrent.futures.thread", "encodings.idna")
"""Modules that Python loads when it resolves a name; root alone may be able to read where it is installed."""


class _Process:
    """Whether this process is a helper program of its own, and not a part of something else, such as a test."""

    is_program = False


def declare_program(*, is_program: bool) -> None:
    """Say whether this process is a helper program: what that gives up nobody needs any more."""
    _Process.is_program = is_program


def can_give_up() -> bool:
    """Whether there is something to give up: the process is a helper program and root's."""
    return _Process.is_program and os.geteuid() == 0


def load_late() -> None:
    """Load what Python otherwise loads in the middle of a run."""
    for name in _LOADED_LATE:
        importlib.import_module(name)


def give_up(*, keeps_ports: bool = False) -> None:
    """Become the service user, for good; *keeps_ports* spares the right to listen on ports below 1024.

    Does nothing in a process that is not root's. Raises Unconfigured when the system refuses.
    """
    if not can_give_up():
        return
    user = service_user()
    if user is not None and not _exists_in_this_namespace(user.pw_uid):
        return  # root of such a container is a user like others outside, and can become nobody else
    if user is None:
        raise Unconfigured(f'There is no user "{SERVICE_USER}" to speak to the network as: run systemd-sysusers')
    load_late()
    try:
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _prctl(_PR_SET_KEEPCAPS, int(keeps_ports))
        os.setgroups([])
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
        if keeps_ports:
            _keep_only(_CAP_NET_BIND_SERVICE)
    except OSError as exc:
        raise Unconfigured(f'The helper cannot become the user "{user.pw_name}": {exc.strerror}') from exc


def hand_over(directory: Path) -> bool:
    """Make *directory*, and give it with what is in it to the service user, who is to keep files there.

    False where that cannot be: the process is not root's, or the host has no user that owns nothing else. What is in a
    directory that the user has already is left alone: that may not be what root put there. Raises Unconfigured.
    """
    user = service_user()
    if not can_give_up() or user is None or user.pw_name != SERVICE_USER:
        return False
    _give(directory, user)
    return True


def entrust(directory: Path) -> None:
    """Give a directory that root has just made, with what is in it, to the user that this process becomes.

    Does nothing in a process that is not root's. Raises Unconfigured.
    """
    user = service_user()
    if can_give_up() and user is not None:
        _give(directory, user)


def _give(directory: Path, user: pwd.struct_passwd) -> None:
    """Make *directory* and, while it is root's, give it to *user* with all that is in it. Raises Unconfigured."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(opened).st_uid == 0:
                for _, _, names, at in os.fwalk(".", topdown=False, dir_fd=opened):
                    for name in names:
                        os.chown(name, user.pw_uid, user.pw_gid, dir_fd=at, follow_symlinks=False)
                    os.fchown(at, user.pw_uid, user.pw_gid)
        finally:
            os.close(opened)
    except OSError as exc:
        raise Unconfigured(f"{exc.filename or directory} cannot be given to {user.pw_name}: {exc.strerror}") from exc


def _exists_in_this_namespace(uid: int) -> bool:
    """Whether *uid* is one that processes of this user namespace can have (user_namespaces(7))."""
    lines = (line.split() for line in Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines())
    return any(int(first) <= uid < int(first) + int(count) for first, _, count in lines)


def _prctl(option: int, value: int) -> None:
    """prctl(2). Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _keep_only(capability: int) -> None:
    """Have *capability*, one of the first 32, and no other (capset(2)). Raises OSError."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    bit = 1 << capability
    data = struct.pack("=6I", bit, bit, 0, 0, 0, 0)  # effective, permitted, inheritable; then those from 32 on
    if ctypes.CDLL(None, use_errno=True).capset(header, data):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
