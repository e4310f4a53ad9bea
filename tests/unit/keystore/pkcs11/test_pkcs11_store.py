"""Keys in tokens of SoftHSM."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from nss_database import NssDatabase, self_signed_pem
from pki_material import ec_key
from softhsm import PIN, SoftHsm, module

from certmongerd.core.errors import FailureKind, KeyStoreError
from certmongerd.core.model import CertStorage, KeyAlgorithm, KeyRecord, KeyStorage, StorageType
from certmongerd.keystore.nss.store import NssKeyStore
from certmongerd.keystore.pairs import save_pair
from certmongerd.keystore.pkcs11.store import Pkcs11KeyStore
from certmongerd.keystore.worker import Worker
from certmongerd.pki.certs import parse_certificate, spki_of
from certmongerd.pki.keys import spki_of_key

STORE = Pkcs11KeyStore()
RSA = KeyRecord(gen_type=KeyAlgorithm.RSA, gen_size=2048)
EC = KeyRecord(gen_type=KeyAlgorithm.EC, gen_size=256)
MARKER = "7YMsz7cq"


@pytest.fixture
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHsm:
    hsm = SoftHsm(tmp_path)
    hsm.add_token("one")
    for name, value in hsm.environment.items():
        monkeypatch.setenv(name, value)
    return hsm


def cert(hsm: SoftHsm) -> CertStorage:
    return CertStorage(location=str(hsm.root / "web.crt"))


@pytest.mark.parametrize(
    ("record", "bits"),
    [
        (RSA, 2048),
        (KeyRecord(gen_type=KeyAlgorithm.RSA, gen_size=3072), 3072),
        (EC, 256),
        (KeyRecord(gen_type=KeyAlgorithm.EC, gen_size=384), 384),
        (KeyRecord(gen_type=KeyAlgorithm.EC, gen_size=521), 521),
    ],
)
def test_a_key_is_made_in_the_token_stays_there_and_signs(hsm: SoftHsm, record: KeyRecord, bits: int) -> None:
    assert STORE.read_key(hsm.key()) is None
    generated = STORE.generate_key(hsm.key(), record, MARKER, "")
    assert (generated.marker, generated.facts.algorithm, generated.facts.bits) == ("", record.gen_type, bits)
    assert STORE.read_key(hsm.key()) == generated.facts
    assert hsm.private_keys() == [("web", False)]
    certificate = self_signed_pem(STORE.private_key(hsm.key()))  # its signature is checked there
    assert spki_of(parse_certificate(certificate)) == generated.facts.spki


@pytest.mark.parametrize("scheme", [padding.PKCS1v15(), padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)])
def test_what_was_encrypted_to_a_key_is_decrypted_in_the_token(hsm: SoftHsm, scheme: padding.AsymmetricPadding) -> None:
    STORE.generate_key(hsm.key(), RSA, MARKER, "")
    STORE.generate_key(hsm.key("other"), RSA, MARKER, "")
    key, other = STORE.private_key(hsm.key()), STORE.private_key(hsm.key("other"))
    assert isinstance(key, rsa.RSAPrivateKey)
    assert isinstance(other, rsa.RSAPrivateKey)
    ciphertext = key.public_key().encrypt(b"a content key", scheme)
    assert key.decrypt(ciphertext, scheme) == b"a content key"
    with pytest.raises(ValueError, match="Decryption failed"):
        other.decrypt(ciphertext, scheme)


@pytest.mark.parametrize(("name", "by"), [("web", "object"), ("%01%02", "id")])
def test_a_candidate_becomes_the_key_with_its_certificate(hsm: SoftHsm, name: str, by: str) -> None:
    storage = hsm.key(name, by=by)
    old = STORE.generate_key(storage, EC, MARKER, "").facts.spki
    candidate = STORE.generate_key(storage, EC, MARKER, "")
    assert candidate.marker == MARKER
    current = STORE.read_key(storage)
    assert current is not None
    assert current.spki == old
    pem = self_signed_pem(STORE.private_key(storage, MARKER))
    for _ in range(2):  # saving may be repeated
        saved = save_pair(pem, cert(hsm), storage, marker=MARKER, preserve_as="", known_spki=old)
        assert saved.key_swapped
        assert Path(cert(hsm).location).read_text() == pem
        assert STORE.read_key(storage) == candidate.facts
        assert hsm.labels() == ["web" if by == "object" else ""]
    assert spki_of_key(STORE.private_key(storage)) == candidate.facts.spki


def test_a_preserved_key_stays_without_label(hsm: SoftHsm) -> None:
    old = STORE.generate_key(hsm.key(), EC, MARKER, "").facts.spki
    STORE.generate_key(hsm.key(), EC, MARKER, "")
    pem = self_signed_pem(STORE.private_key(hsm.key(), MARKER))
    save_pair(pem, cert(hsm), hsm.key(), marker=MARKER, preserve_as="01", known_spki=old)
    assert hsm.labels() == ["", "web"]


def test_a_certificate_for_the_old_key_ends_the_candidate(hsm: SoftHsm) -> None:
    old = STORE.generate_key(hsm.key(), EC, MARKER, "").facts
    STORE.generate_key(hsm.key(), EC, MARKER, "")
    pem = self_signed_pem(STORE.private_key(hsm.key()))
    saved = save_pair(pem, cert(hsm), hsm.key(), marker=MARKER, preserve_as="", known_spki=old.spki)
    assert not saved.key_swapped
    assert STORE.read_key(hsm.key()) == old
    assert hsm.labels() == ["web"]


def test_another_key_of_the_same_label_is_somebody_elses(hsm: SoftHsm) -> None:
    """Labels need not be unique in a token; only the key that was recorded is ever removed."""
    first = STORE.generate_key(hsm.key(), EC, MARKER, "").facts
    storage = replace(hsm.key(), location=hsm.uri().replace("object=web", "object=web;id=%07"))
    second = STORE.generate_key(storage, EC, MARKER, "").facts
    assert STORE.read_key(hsm.key(), known_spki=first.spki) == first
    assert STORE.read_key(hsm.key(), known_spki=second.spki) == second
    STORE.generate_key(hsm.key(), EC, MARKER, "")
    pem = self_signed_pem(STORE.private_key(hsm.key(), MARKER))
    save_pair(pem, cert(hsm), hsm.key(), marker=MARKER, preserve_as="", known_spki=first.spki)
    assert STORE.read_key(storage) == second


def test_an_id_that_another_key_has_is_refused(hsm: SoftHsm) -> None:
    STORE.generate_key(hsm.key("%07", by="id"), EC, MARKER, "")
    storage = replace(hsm.key(), location=hsm.uri().replace("object=web", "object=web;id=%07"))
    with pytest.raises(KeyStoreError, match="that of another key"):
        STORE.generate_key(storage, EC, MARKER, "")
    assert hsm.labels() == [""]


def test_a_certificate_for_another_key_is_refused(hsm: SoftHsm) -> None:
    STORE.generate_key(hsm.key(), EC, MARKER, "")
    with pytest.raises(KeyStoreError, match="another key"):
        save_pair(self_signed_pem(ec_key("other")), cert(hsm), hsm.key(), marker="", preserve_as="")
    assert not Path(cert(hsm).location).exists()


def test_a_key_in_an_nss_database_may_have_its_certificate_in_a_file(tmp_path: Path) -> None:
    database, store = NssDatabase(tmp_path / "db"), NssKeyStore()
    database.directory.mkdir()
    old = store.generate_key(database.key(), EC, MARKER, "").facts.spki
    store.generate_key(database.key(), EC, MARKER, "")
    pem = self_signed_pem(store.private_key(database.key(), MARKER))
    storage = CertStorage(location=str(tmp_path / "web.crt"))
    for _ in range(2):
        assert save_pair(pem, storage, database.key(), marker=MARKER, preserve_as="", known_spki=old).key_swapped
    assert database.private_keys() == [("ec", "web")]
    assert Path(storage.location).read_text() == pem


def test_a_certificate_in_a_database_cannot_belong_to_a_key_in_a_token(hsm: SoftHsm) -> None:
    database = NssDatabase(hsm.root)
    with pytest.raises(KeyStoreError, match="another token"):
        save_pair(self_signed_pem(ec_key("a")), database.cert(), hsm.key(), marker="", preserve_as="")


class TestRefusals:
    @pytest.mark.parametrize(("pin", "reason"), [("", "needs a PIN"), ("wrong", "PinIncorrect")])
    def test_a_pin_has_to_be_right(self, hsm: SoftHsm, pin: str, reason: str) -> None:
        for attempt in (STORE.read_key, STORE.private_key, lambda key: STORE.generate_key(key, EC, MARKER, "")):
            refused(FailureKind.PIN, reason, lambda attempt=attempt: attempt(hsm.key(pin=pin)))  # type: ignore[misc]  # lambda in a loop

    def test_the_uri_may_name_a_file_with_the_pin(self, hsm: SoftHsm) -> None:
        (hsm.root / "pin").write_text(f"{PIN}\n")
        storage = replace(hsm.key(pin=""), location=f"{hsm.uri()}&pin-source=file:{hsm.root}/pin")
        assert STORE.generate_key(storage, EC, MARKER, "").marker == ""
        (hsm.root / "pin").unlink()
        refused(FailureKind.PIN, "missing or empty", lambda: STORE.generate_key(storage, EC, MARKER, ""))

    def test_a_token_has_to_be_there_and_the_only_one(self, hsm: SoftHsm) -> None:
        refused(FailureKind.TOKEN, "No token fits", lambda: STORE.read_key(hsm.key(token="two")))
        hsm.add_token("two")
        assert STORE.read_key(hsm.key(token="two")) is None
        anywhere = replace(hsm.key(), location=hsm.uri().replace("token=one;", ""))
        refused(FailureKind.TOKEN, 'Several tokens fit the URI: "one", "two"', lambda: STORE.read_key(anywhere))

    @pytest.mark.parametrize("detail", ["manufacturer=Nobody", "serial=00", "model=X", "slot-id=4711"])
    def test_every_detail_of_the_token_has_to_fit(self, hsm: SoftHsm, detail: str) -> None:
        storage = replace(hsm.key(), location=hsm.uri().replace("token=one", f"token=one;{detail}"))
        refused(FailureKind.TOKEN, "No token fits", lambda: STORE.read_key(storage))

    def test_modules_are_found_by_name_and_without(self, hsm: SoftHsm) -> None:
        STORE.generate_key(hsm.key(), EC, MARKER, "")
        by_name = replace(hsm.key(), location="pkcs11:token=one;object=web?module-name=softhsm2")
        assert STORE.read_key(by_name) == STORE.read_key(hsm.key())
        by_system = replace(hsm.key(), location="pkcs11:token=one;object=web")
        assert STORE.read_key(by_system) == STORE.read_key(hsm.key())
        unknown = replace(hsm.key(), location="pkcs11:token=one;object=web?module-name=nonesuch")
        refused(FailureKind.TOKEN, 'no module called "nonesuch"', lambda: STORE.read_key(unknown))

    def test_a_key_that_vanished_is_a_token_failure(self, hsm: SoftHsm) -> None:
        STORE.generate_key(hsm.key(), EC, MARKER, "")
        key = STORE.private_key(hsm.key())
        shutil.rmtree(hsm.root / "tokens")
        (hsm.root / "tokens").mkdir()
        hsm.add_token("one")
        refused(FailureKind.TOKEN, "no longer in the token", lambda: self_signed_pem(key))
        refused(FailureKind.TOKEN, "no such private key", lambda: STORE.private_key(hsm.key()))

    @pytest.mark.parametrize("type_", [KeyAlgorithm.ED25519])
    def test_other_types_are_not_made(self, hsm: SoftHsm, type_: KeyAlgorithm) -> None:
        record = KeyRecord(gen_type=type_, gen_size=256)
        refused(FailureKind.OTHER, "RSA or EC keys only", lambda: STORE.generate_key(hsm.key(), record, MARKER, ""))

    def test_certificates_are_not_kept_in_tokens(self, hsm: SoftHsm) -> None:
        storage = CertStorage(type=StorageType.PKCS11, location=hsm.uri())
        refused(FailureKind.TOKEN, "kept in files", lambda: STORE.read_certificate(storage))


class TestBadModules:
    """A library that is broken or slow fails one operation, and nothing else."""

    def test_what_is_no_module(self, tmp_path: Path) -> None:
        for path in (tmp_path / "absent.so", tmp_path / "text.so"):
            refused(FailureKind.TOKEN, "cannot be loaded", lambda path=path: STORE.read_key(key_with(path)))  # type: ignore[misc]  # lambda in a loop
            (tmp_path / "text.so").write_text("no library")

    def test_one_that_crashes(self, tmp_path: Path) -> None:
        whole = Path(module()).read_bytes()
        (tmp_path / "cut.so").write_bytes(whole[: len(whole) // 8])
        reason = r"crashed; its process was ended by SIGBUS"
        refused(FailureKind.OTHER, reason, lambda: STORE.read_key(key_with(tmp_path / "cut.so")))

    def test_without_python_pkcs11_it_is_told_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        python = tmp_path / "python"
        lacking = "import runpy, sys; sys.modules['pkcs11'] = None; runpy.run_module(sys.argv[1], run_name='__main__')"
        python.write_text(f'#!/bin/sh\nexec {sys.executable} -I -c "{lacking}" "$3"\n')
        python.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(python))
        reason = r"python-pkcs11 is needed for tokens \(pip install 'certmongerd\[pkcs11\]'\)"
        refused(FailureKind.TOKEN, reason, lambda: STORE.read_key(key_with(tmp_path)))

    def test_one_that_never_answers(self, fifo: Path) -> None:
        """Loading it waits for somebody to write into the fifo."""
        store = Pkcs11KeyStore(Worker(STORE.worker.module, time_limit_s=1))
        refused(FailureKind.OTHER, "did not answer within 1 seconds", lambda: store.read_key(key_with(fifo)))

    def test_one_that_ends_the_process_without_answer(self, tmp_path: Path) -> None:
        store = Pkcs11KeyStore(Worker("this", time_limit_s=60))
        refused(FailureKind.OTHER, "gave no answer", lambda: store.read_key(key_with(tmp_path)))


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Path]:
    os.mkfifo(tmp_path / "slow.so")
    yield tmp_path / "slow.so"
    (tmp_path / "slow.so").unlink()


def key_with(path: Path) -> KeyStorage:
    return KeyStorage(type=StorageType.PKCS11, location=f"pkcs11:object=web?module-path={path}")


def refused(kind: FailureKind, reason: str, attempt: Callable[[], object]) -> None:
    with pytest.raises(KeyStoreError, match=reason) as caught:
        attempt()
    assert caught.value.kind is kind
    assert "wrong" not in str(caught.value)
