"""What a command gets to work with."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from getcert.client import Client
from getcert.connection import daemon_client
from getcert.options import ParsedOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One invocation."""

    program: str
    """Name the program was called by."""
    pinned_ca: str | None
    """The CA of an alias such as ipa-getcert, which has no -c."""
    options: ParsedOptions
    environment: Mapping[str, str]
    out: TextIO
    remarks: TextIO
    """Where remarks beside the result go; not to *out* when that is for programs."""
    host: Callable[[], str]
    """Gives the name of this host."""

    def tell(self, line: str) -> None:
        """Print one line."""
        self.out.write(line + "\n")

    def remark(self, line: str) -> None:
        """Print one line that is not part of the result."""
        self.remarks.write(line + "\n")

    @property
    def is_verbose(self) -> bool:
        """Whether -v was given."""
        return self.options.given("verbose")

    @property
    def document_format(self) -> str | None:
        """The format given with --output, None when the result is for people."""
        return self.options.text("output")

    @property
    def ca_name(self) -> str | None:
        """The CA asked for, by option or by the program's name."""
        return self.pinned_ca or self.options.text("ca")

    @contextmanager
    def client(self, *, may_start_daemon: bool = True) -> Iterator[Client]:
        """Connect to the daemon while the block runs. Raises ConnectionFailed."""
        session = self.options.last_of("session", "system") == "session"
        with daemon_client(
            self.environment, session=session, verbose=self.is_verbose, may_start=may_start_daemon
        ) as client:
            yield client
