"""The file that holds the daemon's process id."""

import contextlib
import os
from pathlib import Path
from types import TracebackType

from certmongerd.core.errors import CertmongerError
from certmongerd.store.files import write_durably


class PidFile:
    """Exists, with the process id and a newline, while the context is open. *path* None means no file."""

    def __init__(self, path: str | None) -> None:
        self._path = None if path is None else Path(path).absolute()

    def __enter__(self) -> "PidFile":
        if self._path is not None:
            try:
                write_durably(self._path, f"{os.getpid()}\n".encode())
            except OSError as error:
                raise CertmongerError(f"Process id file {self._path} cannot be written: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove the file, once."""
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
            self._path = None
