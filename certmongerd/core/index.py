"""Finding requests by nickname or by place without looking at all of them."""

from collections.abc import Iterator

from certmongerd.core.ids import ObjectPath
from certmongerd.core.model import Request


class RequestIndex:
    """Paths of requests by what has to be unique about them."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[ObjectPath, None]] = {}
        self._by_location: dict[str, dict[ObjectPath, None]] = {}

    def named(self, nickname: str) -> tuple[ObjectPath, ...]:
        """Requests with *nickname*, without regard to case."""
        return tuple(self._by_name.get(nickname.casefold(), ()))

    def at(self, location: str) -> tuple[ObjectPath, ...]:
        """Requests that keep their key or their certificate in the file or database *location*."""
        return tuple(self._by_location.get(location, ()))

    def add(self, path: ObjectPath, request: Request) -> None:
        """Enter a request that is not in yet."""
        self._by_name.setdefault(request.id.casefold(), {})[path] = None
        for location in _locations(request):
            self._by_location.setdefault(location, {})[path] = None

    def discard(self, path: ObjectPath, request: Request) -> None:
        """Take out a request that is in with these values."""
        _drop(self._by_name, request.id.casefold(), path)
        for location in _locations(request):
            _drop(self._by_location, location, path)

    def change(self, path: ObjectPath, old: Request, new: Request) -> None:
        """A request that is in has another value now."""
        is_moved = old.cert_storage is not new.cert_storage or old.key_storage is not new.key_storage
        if is_moved or old.id != new.id:
            self.discard(path, old)
            self.add(path, new)


def _locations(request: Request) -> Iterator[str]:
    if request.cert_storage.location:
        yield request.cert_storage.location
    if request.key_storage.location:
        yield request.key_storage.location


def _drop(index: dict[str, dict[ObjectPath, None]], key: str, path: ObjectPath) -> None:
    paths = index.get(key, {})
    paths.pop(path, None)
    if not paths:
        index.pop(key, None)
