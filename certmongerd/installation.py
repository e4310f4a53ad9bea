"""Where the parts of this installation are."""

from importlib.util import find_spec
from pathlib import Path

from certmongerd.core.errors import CertmongerError


def helper_directory() -> str:
    """The folder of the enrolment helper programs."""
    spec = find_spec("certmonger_helpers")
    if spec is None or spec.origin is None:
        raise CertmongerError("The package certmonger_helpers is not installed; install certmongerd again.")
    return str(Path(spec.origin).resolve().parent / "bin")
