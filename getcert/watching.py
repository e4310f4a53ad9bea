"""What `watch` tells about the daemon's signals. No I/O of its own: signals come in, lines come out."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from certmongerd import api
from certmongerd.busapi.transport import WireMessage
from getcert.entries import Properties, RequestEntry, properties_of
from getcert.text import time_text

_TOLD_OTHERWISE: Final = frozenset({"nickname", "status", "stuck", "ca-error", "not-valid-after"})
_UNTOLD: Final = frozenset({"last-checked", "ca-cookie"})
"""What only the daemon needs to know."""


@dataclass(slots=True)
class _Known:
    """What was told about one request last."""

    nickname: str
    status: str
    is_stuck: bool
    ca_error: str
    expires: int

    @classmethod
    def of(cls, properties: Properties) -> "_Known":
        return cls(
            nickname=properties.text("nickname"),
            status=properties.text("status"),
            is_stuck=properties.flag("stuck"),
            ca_error=properties.text("ca-error"),
            expires=properties.number("not-valid-after"),
        )

    @property
    def state(self) -> str:
        return f"{self.status}, stuck" if self.is_stuck else self.status


class Watcher:
    """Keeps in mind how the watched requests stand, so that only news is told.

    *read* reads one request as it is now, None when it is gone. *wanted* says which requests are watched; what it
    says of a request counts for as long as that exists. *verbose* tells the names of all properties that change.
    """

    def __init__(
        self,
        read: Callable[[str], RequestEntry | None],
        wanted: Callable[[RequestEntry], bool],
        *,
        utc: object,
        verbose: object,
    ) -> None:
        self._read = read
        self._wanted = wanted
        self._utc = utc
        self._verbose = verbose
        self._known: dict[str, _Known] = {}
        self._unwanted: set[str] = set()

    @property
    def watched(self) -> int:
        """How many requests are being watched."""
        return len(self._known)

    def begin(self, entries: Iterable[RequestEntry]) -> Iterator[str]:
        """Take in how all requests stand, and tell it of the watched ones."""
        self._known.clear()
        self._unwanted.clear()
        for entry in entries:
            known = self._taken_in(entry)
            if known is not None:
                yield f"{known.nickname}: {known.state}"

    def take(self, signal: WireMessage) -> Iterator[str]:
        """The news in one signal; a signal of unexpected content is none."""
        path = signal.path or ""
        match signal.interface, signal.member, signal.body:
            case api.PROPERTIES_INTERFACE, "PropertiesChanged", (api.REQUEST_INTERFACE, dict(changed), *rest):
                gone = rest[0] if rest and isinstance(rest[0], tuple) else ()
                yield from self._changed(path, properties_of(changed), {str(name) for name in gone})
            case api.OBJECT_MANAGER_INTERFACE, "InterfacesAdded", (str(added), {api.REQUEST_INTERFACE: dict(values)}):
                yield from self._added(RequestEntry(added, properties_of(values)))
            case api.OBJECT_MANAGER_INTERFACE, "InterfacesRemoved", (str(removed), *_):
                yield from self._removed(removed)
            case api.REQUEST_INTERFACE, "SavedCertificate", _:
                if path in self._known:
                    yield f"{self._known[path].nickname}: certificate saved"

    def _taken_in(self, entry: RequestEntry) -> _Known | None:
        if not self._wanted(entry):
            self._unwanted.add(entry.path)
            return None
        known = self._known[entry.path] = _Known.of(entry.properties)
        return known

    def _added(self, entry: RequestEntry) -> Iterator[str]:
        known = self._taken_in(entry)
        if known is not None:
            yield f"{known.nickname}: added"
            yield f"{known.nickname}: {known.state}"

    def _removed(self, path: str) -> Iterator[str]:
        self._unwanted.discard(path)
        known = self._known.pop(path, None)
        if known is not None:
            yield f"{known.nickname}: removed"

    def _changed(self, path: str, changed: Properties, gone: set[str]) -> Iterator[str]:
        if path in self._unwanted:
            return
        known = self._known.get(path)
        if known is None:
            # certmonger does not announce new requests: the first change does.
            entry = self._read(path)
            if entry is not None:
                yield from self._added(entry)
            return
        yield from self._told(known, changed, gone)
        others = sorted((changed.values.keys() | gone) - _TOLD_OTHERWISE - _UNTOLD)
        if self._verbose and others:
            yield f"{known.nickname}: changed: {', '.join(others)}"

    def _told(self, known: _Known, changed: Properties, gone: set[str]) -> Iterator[str]:
        nickname = changed.text("nickname")
        if nickname and nickname != known.nickname:
            yield f"{known.nickname}: is called {nickname} now"
            known.nickname = nickname
        before = known.state
        known.status = changed.text("status") or known.status
        if "stuck" in changed.values:
            known.is_stuck = changed.flag("stuck")
        if known.state != before:
            yield f"{known.nickname}: {known.state}"
        reason = "" if "ca-error" in gone else changed.text("ca-error") or known.ca_error
        if reason and reason != known.ca_error:
            yield f"{known.nickname}: ca-error: {reason}"
        known.ca_error = reason
        expires = changed.number("not-valid-after")
        if expires and expires != known.expires:
            known.expires = expires
            yield f"{known.nickname}: new certificate, expires {time_text(expires, utc=self._utc)}"
