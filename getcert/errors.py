"""Ways in which a command ends early. What is raised here is printed on standard output, as certmonger's tool does."""

from certmongerd.core.errors import CertmongerError

EXIT_FAILURE = 1
EXIT_DUPLICATE = 2
"""A nickname or location is taken already (certmonger 0.79.20 and later)."""


class CommandFailed(CertmongerError):
    """The command cannot go on; *lines* tell why."""

    def __init__(self, *lines: str, status: int = EXIT_FAILURE) -> None:
        self.lines = lines
        self.status = status
        super().__init__("\n".join(lines))


class UsageError(CommandFailed):
    """The command line makes no sense; the command's help follows the lines."""


class ConnectionFailed(CommandFailed):
    """There is nothing to connect to at the chosen address."""

    def __init__(self, address: str, reason: str) -> None:
        self.address = address
        self.reason = reason
        super().__init__("Error connecting to D-Bus.", "Please verify that the message bus (D-Bus) service is running.")
