"""Finding requests by nickname or by place without looking at all of them."""

from collections.abc import Iterator

from certmongerd.core.ids import ObjectPath
from certmongerd.core.model import Request


class RequestIndex:
    """Paths of requests by what has to be unique about them."""

    def __init__(self) -> None:
        self._by_name: dict[str, tuple[ObjectPath, ...]] = {}
        self._by_location: dict[str, tuple[ObjectPath, ...]] = {}

    def named(self, nickname: str) -> tuple[ObjectPath, ...]:
        """Requests with *nickname*, without regard to case."""
        return self._by_name.get(nickname.casefold(), ())

    def at(self, location: str) -> tuple[ObjectPath, ...]:
        """Requests that keep their key or their certificate in the file or database *location*."""
        return self._by_location.get(location, ())

    def add(self, path: ObjectPath, request: Request) -> None:
        """Enter a request that is not in yet."""
        _put(self._by_name, _folded(request.id), path)
        for location in _locations(request):
            _put(self._by_location, location, path)

    def discard(self, path: ObjectPath, request: Request) -> None:
        """Take out a request that is in with these values."""
        _drop(self._by_name, _folded(request.id), path)
        for location in _locations(request):
            _drop(self._by_location, location, path)

    def change(self, path: ObjectPath, old: Request, new: Request) -> None:
        """A request that is in has another value now."""
        is_moved = old.cert_storage is not new.cert_storage or old.key_storage is not new.key_storage
        if is_moved or old.id != new.id:
            self.discard(path, old)
            self.add(path, new)


def _folded(nickname: str) -> str:
    """*nickname* without regard to case; the same object where that makes no difference, as mostly."""
    folded = nickname.casefold()
    return nickname if folded == nickname else folded


def _locations(request: Request) -> Iterator[str]:
    if request.cert_storage.location:
        yield request.cert_storage.location
    if request.key_storage.location:
        yield request.key_storage.location


def _put(index: dict[str, tuple[ObjectPath, ...]], key: str, path: ObjectPath) -> None:
    paths = index.get(key, ())
    if path not in paths:
        index[key] = (*paths, path)


def _drop(index: dict[str, tuple[ObjectPath, ...]], key: str, path: ObjectPath) -> None:
    left = tuple(other for other in index.get(key, ()) if other != path)
    if left:
        index[key] = left
    else:
        index.pop(key, None)
