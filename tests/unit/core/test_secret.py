"""Secrets do not show themselves."""

import pickle

import pytest
from fakes.request_world import new_request

from certmongerd.core.model import KeyStorage, Template
from certmongerd.core.secret import Secret


def test_a_secret_is_never_printed_not_even_inside_a_request() -> None:
    pin = Secret("hunter2")
    assert pin.reveal() == "hunter2"
    holders = (pin, KeyStorage(pin=pin), Template(challenge_password=pin), new_request())
    for holder in holders:
        assert "hunter2" not in f"{holder} {holder!r}"


def test_secrets_are_compared_by_value_but_not_with_text() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert bool(Secret("a"))
    assert not Secret("")


def test_a_secret_cannot_grow_attributes() -> None:
    with pytest.raises(AttributeError):
        Secret("a").other = "b"  # type: ignore[attr-defined]  # the point of the test


def test_a_secret_survives_a_way_between_processes() -> None:
    assert pickle.loads(pickle.dumps(Secret("a"))) == Secret("a")
