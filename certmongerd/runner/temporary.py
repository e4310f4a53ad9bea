"""A temporary directory for one run of a helper, which belongs to the user that the helper becomes."""

import asyncio
import os
import shutil
import tempfile

from certmongerd.core.errors import LaunchError
from certmongerd.store.service_user import service_user


def make_temporary_directory(program: str, parent: str) -> str:
    """A new directory in *parent*, for its owner alone. Raises LaunchError."""
    try:
        os.makedirs(parent, exist_ok=True)
        directory = tempfile.mkdtemp(prefix="helper-", dir=parent)
        user = service_user() if os.geteuid() == 0 else None
        if user is not None:
            os.chown(directory, user.pw_uid, user.pw_gid)
    except OSError as exc:
        raise LaunchError(program, f"No temporary directory can be made in {parent}: {exc.strerror}") from exc
    return directory


async def remove_temporary_directory(directory: str) -> None:
    """Remove *directory* with what a helper left in it."""
    try:
        os.rmdir(directory)
    except OSError:
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
