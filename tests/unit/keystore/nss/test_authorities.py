"""CA certificates in NSS databases; what is there afterwards is certutil's word."""

from pathlib import Path

import pytest
from nss_database import NssDatabase, self_signed_pem
from pki_material import ec_key

from certmongerd.core.errors import KeyStoreError
from certmongerd.core.model import KeyStorage
from certmongerd.keystore.nss.authorities import Authority, is_same_database, save_authorities


def authority(
    nickname: str, *, subject: str = "", key: str = "ca", trust: str = "CT,C,C", serial: int = 1
) -> Authority:
    pem = self_signed_pem(ec_key(key), f"CN={subject or nickname}", serial=serial)
    return Authority(nickname=nickname, pem=pem, trust=trust)


@pytest.fixture(params=["sql:", "dbm:"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> NssDatabase:
    return NssDatabase(tmp_path, request.param)


def test_they_are_stored_with_nickname_and_trust_and_set_again(database: NssDatabase) -> None:
    wanted = [authority("Root"), authority("Sub", trust=",,", key="sub")]
    save_authorities(database.location, wanted, None)
    assert database.certificates() == [("Root", "CT,C,C"), ("Sub", ",,")]
    database.certutil("-M", "-n", "Root", "-t", ",,")
    save_authorities(database.location, [*wanted, authority("New", key="new")], None)
    assert database.certificates() == [("New", "CT,C,C"), ("Root", "CT,C,C"), ("Sub", ",,")]


def test_a_renewed_ca_certificate_joins_the_old_one(database: NssDatabase) -> None:
    for serial in (1, 2):
        save_authorities(database.location, [authority("Root", key=f"ca {serial}", serial=serial)], None)
    assert database.certificates() == [("Root", "CT,C,C"), ("Root", "CT,C,C")]


def test_a_ca_that_was_set_up_anew_replaces_the_one_of_the_same_serial_number(database: NssDatabase) -> None:
    before, after = (authority("Root", key=key) for key in ("before", "after"))
    for ca in (before, after):
        save_authorities(database.location, [ca], None)
    assert database.certificates() == [("Root", "CT,C,C")]
    assert database.pem("Root").split() == after.pem.split()


def test_a_nickname_that_is_another_subjects_gets_a_number(database: NssDatabase) -> None:
    for subject in ("a", "b", "c"):
        save_authorities(database.location, [authority("Root", subject=subject, key=subject)], None)
    assert [name for name, _ in database.certificates()] == ["Root", "Root #2", "Root #3"]


def test_the_pin_of_a_key_in_the_database_opens_it(tmp_path: Path) -> None:
    database = NssDatabase(tmp_path, pin="secret")
    database.make()
    save_authorities(database.location, [authority("Root")], database.key())
    assert database.certificates() == [("Root", "CT,C,C")]


def test_a_database_that_stays_closed_is_told(tmp_path: Path) -> None:
    database = NssDatabase(tmp_path, pin="secret")
    database.make()
    with pytest.raises(KeyStoreError, match="PIN"):
        save_authorities(database.location, [authority("Root")], None)


def test_flags_that_are_none_are_told(database: NssDatabase) -> None:
    with pytest.raises(KeyStoreError, match='"CT;C" are no trust flags'):
        save_authorities(database.location, [authority("Root", trust="CT;C")], None)


def test_a_certificate_that_is_none_is_told(database: NssDatabase) -> None:
    with pytest.raises(KeyStoreError, match="cannot be stored"):
        save_authorities(database.location, [Authority(nickname="Root", pem="junk", trust=",,")], None)


def test_a_database_has_one_name_however_it_is_spelt() -> None:
    storage = NssDatabase(Path("/etc/db")).key()
    assert is_same_database(storage, "/etc/db/")
    assert not is_same_database(storage, "sql:/etc/other")
    assert not is_same_database(KeyStorage(location="/etc/db"), "/etc/db")
