"""Passwords and keys in files, so that they are in nobody's list of processes."""

from pathlib import Path

from certmonger_helpers.outcome import Unconfigured
from certmongerd.core.secret import Secret
from certmongerd.store.secret_file import secret_file


def secret_of_file(path: str) -> Secret:
    """The first line of a file, or of a credential that *path* names as `credential:NAME`. Raises Unconfigured."""
    try:
        text = Path(secret_file(path)).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise Unconfigured(f"{path} cannot be read: {getattr(exc, 'strerror', None) or 'it is no text'}") from exc
    return Secret(text.partition("\n")[0].rstrip("\r"))
