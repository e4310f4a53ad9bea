import os
from pathlib import Path

import pytest

from certmongerd.core.errors import FailureKind, KeyStoreError
from certmongerd.core.model import KeyStorage
from certmongerd.core.secret import Secret
from certmongerd.keystore.pin import read_pin, read_pin_for_new_key


@pytest.mark.parametrize(
    ("content", "pin"),
    [
        (b"1234\n", "1234"),
        (b"1234", "1234"),
        (b"1234\r\nmore\n", "1234"),
        (b" 1 2 \n", " 1 2 "),
        ("pün\n".encode(), "pün"),
        (b"\n1234\n", None),
        (b"", None),
    ],
)
def test_the_first_line_of_the_pin_file_is_the_pin(tmp_path: Path, content: bytes, pin: str | None) -> None:
    file = tmp_path / "pin"
    file.write_bytes(content)
    assert read_pin(KeyStorage(pin_file=str(file), pin=Secret("stored"))) == pin


def test_a_stored_pin_counts_only_without_pin_file(tmp_path: Path) -> None:
    assert read_pin(KeyStorage(pin=Secret("stored"))) == "stored"
    assert read_pin(KeyStorage(pin=Secret("stored"), pin_file=str(tmp_path / "missing"))) is None
    assert read_pin(KeyStorage(pin=Secret(""))) is None
    assert read_pin(KeyStorage()) is None


def test_octets_that_are_no_utf8_survive(tmp_path: Path) -> None:
    file = tmp_path / "pin"
    file.write_bytes(b"\xff\xfe\n")
    pin = read_pin(KeyStorage(pin_file=str(file)))
    assert pin is not None
    assert pin.encode("utf-8", "surrogateescape") == b"\xff\xfe"


def test_a_pin_file_that_cannot_be_read_is_a_pin_failure(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="cannot be read") as caught:
        read_pin(KeyStorage(location="/k", pin_file=str(tmp_path)))
    assert (caught.value.kind, caught.value.location) == (FailureKind.PIN, "/k")


def test_a_new_key_is_not_made_without_the_pin_that_a_file_was_to_give(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="missing or empty") as caught:
        read_pin_for_new_key(KeyStorage(location="/k", pin_file=str(tmp_path / "missing")))
    assert caught.value.kind is FailureKind.PIN
    assert read_pin_for_new_key(KeyStorage()) is None


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pin")
    with pytest.raises(KeyStoreError, match="it is not a regular file") as caught:
        read_pin(KeyStorage(location="/key", pin_file=str(tmp_path / "pin")))
    assert caught.value.kind is FailureKind.PIN
