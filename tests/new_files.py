"""State files made as the daemon makes them."""

from datetime import datetime

from certmongerd.core.errors import NameTaken
from certmongerd.core.model import Ca, Request
from certmongerd.store.repository import Repository


def create_request(repository: Repository, request: Request, now: datetime) -> str:
    """Store a new request; the name of its file."""
    while True:
        name = repository.next_request_name(now)
        try:
            repository.create_request(name, request)
        except NameTaken:
            continue
        return name


def create_ca(repository: Repository, ca: Ca, now: datetime) -> str:
    """Store a new CA; the name of its file."""
    while True:
        name = repository.next_ca_name(now)
        try:
            repository.create_ca(name, ca)
        except NameTaken:
            continue
        return name
