"""Which request a command is about: by nickname, by NSS database and nickname, or by certificate file."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from getcert.entries import RequestEntry
from getcert.errors import CommandFailed, UsageError
from getcert.options import ParsedOptions
from getcert.paths import database_location, file_location

NO_SUCH_NICKNAME = "No request found with specified nickname."
NO_MATCH = "No request found that matched arguments."


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The selecting options, with paths made absolute."""

    nickname: str | None = None
    database: str | None = None
    certificate_nickname: str | None = None
    token: str | None = None
    file: str | None = None

    @property
    def has_location(self) -> bool:
        """Whether a certificate is named by where it is."""
        return self.file is not None or (self.database is not None and self.certificate_nickname is not None)

    def matches_location(self, entry: RequestEntry) -> bool:
        """Whether the certificate of *entry* is where the given options say; options not given match all."""
        properties = entry.properties
        wanted = (
            ("cert-database", self.database),
            ("cert-nickname", self.certificate_nickname),
            ("cert-file", self.file),
        )
        if any(value is not None and properties.text(name) != value for name, value in wanted):
            return False
        token = properties.text("cert-token")
        return self.token is None or token in (self.token, "")

    def find(self, entries: Iterable[RequestEntry]) -> RequestEntry | None:
        """The request that is meant: a nickname counts more than a location, and exact spelling more than another."""
        if self.nickname is None:
            return next((entry for entry in entries if self.matches_location(entry)), None)
        folded = self.nickname.lower()
        found = [entry for entry in entries if entry.nickname.lower() == folded]
        return next((entry for entry in found if entry.nickname == self.nickname), found[0] if found else None)


def read_selection(options: ParsedOptions, tell: Callable[[str], None], *, check_database: bool = True) -> Selection:
    """The selecting options of a command line. Raises CommandFailed for paths that cannot be."""
    file, database = options.text("certfile"), options.text("dbdir")
    return Selection(
        nickname=options.text("id"),
        database=None if database is None else database_location(database, tell, check=check_database),
        certificate_nickname=options.text("nickname"),
        token=options.text("token") or options.text("listed_token"),
        file=None if file is None else file_location(file, tell),
    )


def require_location(selection: Selection, *, nothing: str) -> None:
    """Refuse a location that is half given, or none at all with the text *nothing*. Raises UsageError."""
    if (selection.database is None) != (selection.certificate_nickname is None):
        raise UsageError("Database location or nickname specified without the other.")
    if selection.database is not None and selection.file is not None:
        raise UsageError("Database directory and certificate file both specified.")
    if not selection.has_location:
        raise UsageError(nothing)


def find_or_fail(selection: Selection, entries: Iterable[RequestEntry], *, show_help: bool) -> RequestEntry:
    """The request that is meant; *show_help* adds the help when a nickname is unknown. Raises CommandFailed."""
    found = selection.find(entries)
    if found is not None:
        return found
    if selection.nickname is None:
        raise CommandFailed(NO_MATCH)
    raise UsageError(NO_SUCH_NICKNAME) if show_help else CommandFailed(NO_SUCH_NICKNAME)


class RequestSource(Protocol):
    """Where requests come from."""

    def requests(self, *, named: str | None = None) -> Iterable[RequestEntry]:
        """All requests; only the one called *named*, if there is one spelled exactly so."""


def choose_request(options: ParsedOptions, tell: Callable[[str], None], source: RequestSource) -> RequestEntry:
    """The one request a command line names. Raises UsageError when it names none, CommandFailed for an unknown one."""
    selection = read_selection(options, tell)
    if selection.nickname is None and not selection.has_location:
        raise UsageError("Name the request with -i, or its certificate with -f, or with -d and -n.")
    return find_or_fail(selection, source.requests(named=selection.nickname), show_help=False)
