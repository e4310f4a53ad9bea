"""Many requests are looked for in their database by one process, which finds what each would find alone."""

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nss_database import NssDatabase, self_signed_pem

from certmongerd.core.ids import Nickname
from certmongerd.core.model import KeyAlgorithm, KeyRecord, Request, StorageType
from certmongerd.keystore.nss.store import NssKeyStore
from certmongerd.keystore.nss.survey import Found, Tenant, survey
from certmongerd.runner.disk import look_at_disk, way_in

STORE = NssKeyStore()
EC = KeyRecord(gen_type=KeyAlgorithm.EC, gen_size=256)
MARKER = "7YMsz7cq"


@pytest.fixture(params=[("sql:", ""), ("sql:", "secret"), ("dbm:", "")], ids=["sql", "sql-with-pin", "dbm"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> NssDatabase:
    """With a renewed pair, a key alone, a key with a candidate, and a certificate whose key is called otherwise."""
    prefix, pin = request.param
    database = NssDatabase(tmp_path, prefix, pin)
    for name in ("pair", "alone", "both", "other"):
        STORE.generate_key(database.key(name), EC, MARKER, "")
    STORE.generate_key(database.key("both"), EC, MARKER, "")
    for serial in (1, 2):
        pem = self_signed_pem(STORE.private_key(database.key("pair")), "CN=pair", serial=serial)
        STORE.save_certificate(pem, database.cert("pair"), database.key("pair"), marker="", preserve_as="")
    pem = self_signed_pem(STORE.private_key(database.key("other")), "CN=named")
    STORE.save_certificate(pem, database.cert("named"), database.key("other"), marker="", preserve_as="")
    return database


def request_in(database: NssDatabase, name: str, *, pin: str | None = None, known: bytes = b"") -> Request:
    return Request(
        id=Nickname(name),
        key=KeyRecord(pubkey_info=known),
        key_storage=database.key(name, pin=pin),
        cert_storage=database.cert(name),
    )


def tenant(request: Request) -> Tenant:
    return Tenant(key=request.key_storage, cert=request.cert_storage, known_spki=request.key.pubkey_info)


def alone(request: Request) -> Found:
    key = STORE.read_key(request.key_storage, known_spki=request.key.pubkey_info)
    return Found(key=key, cert_pem=STORE.read_certificate(request.cert_storage))


def test_each_finds_what_it_would_find_alone(database: NssDatabase) -> None:
    requests = [request_in(database, name) for name in ("pair", "alone", "both", "named", "nobody")]
    found = survey([tenant(request) for request in requests])
    assert found == [alone(request) for request in requests]
    assert [(f.key is not None, f.cert_pem is not None) for f in found] == [
        (True, True),
        (True, False),
        (True, False),
        (True, True),
        (False, False),
    ]
    known = request_in(database, "both", known=found[2].key.spki if found[2].key else b"")
    assert survey([tenant(known)]) == [alone(known)]


def test_a_wrong_pin_hides_keys_only(tmp_path: Path) -> None:
    database = NssDatabase(tmp_path, pin="secret")
    STORE.generate_key(database.key(), EC, MARKER, "")
    pem = self_signed_pem(STORE.private_key(database.key()))
    STORE.save_certificate(pem, database.cert(), database.key(), marker="", preserve_as="")
    (found,) = survey([tenant(request_in(database, "web", pin="wrong"))])
    assert found.key is None
    assert found.cert_pem is not None


def test_one_process_is_enough_for_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = NssDatabase(tmp_path)
    STORE.generate_key(database.key("n7"), EC, MARKER, "")
    started: list[object] = []
    real = subprocess.Popen

    class Counting(real):  # type: ignore[misc,valid-type]  # to see what is started, there is no other way
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            started.append(args)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(subprocess, "Popen", Counting)
    seen = look_at_disk([request_in(database, f"n{number}") for number in range(50)])
    assert [number for number, found in enumerate(seen) if found.key is not None] == [7]
    assert len(started) == 1


def test_who_has_another_way_in_is_not_looked_at_together(tmp_path: Path) -> None:
    database, elsewhere = NssDatabase(tmp_path / "a"), NssDatabase(tmp_path / "b")
    one = request_in(database, "one")
    assert way_in(one) == way_in(request_in(database, "two"))
    others = (
        request_in(elsewhere, "one"),
        request_in(database, "one", pin="secret"),
        replace(one, key_storage=replace(one.key_storage, pin_file="/pin")),
    )
    assert len({way_in(request) for request in (one, *others)}) == 4
    apart = replace(one, key_storage=replace(one.key_storage, token="another"))
    in_files = replace(one, cert_storage=replace(one.cert_storage, type=StorageType.FILE))
    assert way_in(apart) is way_in(in_files) is None


@pytest.mark.parametrize("trouble", ["no folder", "no database"])
def test_what_cannot_be_opened_is_left_to_the_machine(tmp_path: Path, trouble: str) -> None:
    database = NssDatabase(tmp_path / "db")
    if trouble == "no database":
        database.directory.mkdir()
        (database.directory / "cert9.db").write_text("nonsense")
    for seen in look_at_disk([request_in(database, "one"), request_in(database, "two")]):
        assert (seen.key, seen.cert) == (None, None)
