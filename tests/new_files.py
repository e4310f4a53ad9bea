"""State files made as the daemon makes them."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from certmongerd.core.errors import NameTaken
from certmongerd.core.model import Ca, Request
from certmongerd.store.repository import Repository

_V = TypeVar("_V")


def create_request(repository: Repository, request: Request, now: datetime) -> str:
    """Store a new request; the name of its file."""
    return _create(lambda: repository.next_request_name(now), repository.creating_request, request)


def create_ca(repository: Repository, ca: Ca, now: datetime) -> str:
    """Store a new CA; the name of its file."""
    return _create(lambda: repository.next_ca_name(now), repository.creating_ca, ca)


def _create(next_name: Callable[[], str], creating: Callable[[str, _V], Callable[[], None]], value: _V) -> str:
    while True:
        name = next_name()
        try:
            creating(name, value)()
        except NameTaken:
            continue
        return name
