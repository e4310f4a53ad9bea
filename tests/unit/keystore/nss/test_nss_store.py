"""Keys and certificates in NSS databases; what is there afterwards is certutil's word."""

import shutil
import sqlite3
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from daemon_under_test import open_folders
from nss_database import NssDatabase, self_signed_pem
from pki_material import ec_key

from certmongerd.core.errors import FailureKind, KeyStoreError
from certmongerd.core.model import KeyAlgorithm, KeyRecord
from certmongerd.keystore.nss.store import NssKeyStore, candidate_nickname
from certmongerd.keystore.nss.worker import WORKER
from certmongerd.keystore.worker import Worker
from certmongerd.pki.algorithms import digest_named
from certmongerd.pki.keys import sign, spki_of_key
from certmongerd.pki.pem import pem_blocks

STORE = NssKeyStore()
RSA = KeyRecord(gen_type=KeyAlgorithm.RSA, gen_size=2048)
EC = KeyRecord(gen_type=KeyAlgorithm.EC, gen_size=256)
MARKER = "7YMsz7cq"
TOKEN = "NSS Certificate DB"


@pytest.fixture(params=["sql:", "dbm:"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> NssDatabase:
    return NssDatabase(tmp_path, request.param)


@pytest.fixture
def sql(tmp_path: Path) -> NssDatabase:
    return NssDatabase(tmp_path)


def same_certificate(pem: str, other: str) -> bool:
    return next(pem_blocks(pem)).der == next(pem_blocks(other)).der


def write_pem(database: NssDatabase, pem: str) -> Path:
    """A file that certutil can import."""
    path = database.directory.parent / "import.pem"
    path.write_text(pem)
    return path


def enrol(database: NssDatabase, nickname: str = "web", *, serial: int = 1, subject: str = "CN=web") -> bytes:
    """A key and certificate under *nickname*, by way of a candidate if there is a key; the public key."""
    key_storage = database.key(nickname)
    generated = STORE.generate_key(key_storage, EC, MARKER, "")
    pem = self_signed_pem(STORE.private_key(key_storage, generated.marker), subject, serial=serial)
    STORE.save_certificate(pem, database.cert(nickname), key_storage, marker=generated.marker, preserve_as="")
    return generated.facts.spki


class TestKeys:
    def test_without_database_there_is_no_key_and_none_is_made_by_looking(self, database: NssDatabase) -> None:
        assert STORE.read_key(database.key()) is None
        assert STORE.read_certificate(database.cert()) is None
        assert list(database.directory.iterdir()) == []

    @pytest.mark.parametrize(
        ("record", "kind", "bits"),
        [
            (RSA, "rsa", 2048),
            (EC, "ec", 256),
            (KeyRecord(gen_type=KeyAlgorithm.EC, gen_size=384), "ec", 384),
            (KeyRecord(gen_type=KeyAlgorithm.EC, gen_size=521), "ec", 521),
        ],
    )
    def test_a_key_is_made_under_its_nickname_in_a_new_database(
        self, database: NssDatabase, record: KeyRecord, kind: str, bits: int
    ) -> None:
        generated = STORE.generate_key(database.key(), record, MARKER, "aes128")
        assert (generated.marker, generated.facts.algorithm, generated.facts.bits, generated.facts.token) == (
            "",
            record.gen_type,
            bits,
            TOKEN,
        )
        assert STORE.read_key(database.key()) == generated.facts
        assert database.private_keys() == [(kind, "web")]

    @pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
    @pytest.mark.parametrize("record", [RSA, EC])
    def test_signatures_verify(self, sql: NssDatabase, record: KeyRecord, digest: str) -> None:
        STORE.generate_key(sql.key(), record, MARKER, "")
        key = STORE.private_key(sql.key())
        signature = sign(key, b"data", digest)
        public, algorithm = key.public_key(), digest_named(digest)
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, b"data", padding.PKCS1v15(), algorithm)
        else:
            assert isinstance(public, ec.EllipticCurvePublicKey)
            public.verify(signature, b"data", ec.ECDSA(algorithm))

    @pytest.mark.parametrize(
        "scheme",
        [
            padding.PKCS1v15(),
            padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None),
            padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA512(), b"label"),
        ],
    )
    def test_what_was_encrypted_to_a_key_is_decrypted_with_it(
        self, database: NssDatabase, scheme: padding.AsymmetricPadding
    ) -> None:
        STORE.generate_key(database.key(), RSA, MARKER, "")
        key = STORE.private_key(database.key())
        assert isinstance(key, rsa.RSAPrivateKey)
        assert key.decrypt(key.public_key().encrypt(b"a content key", scheme), scheme) == b"a content key"

    def test_a_private_key_is_not_to_be_had(self, sql: NssDatabase) -> None:
        STORE.generate_key(sql.key(), EC, MARKER, "")
        key = STORE.private_key(sql.key())
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        with pytest.raises(ValueError, match="inside a token"):
            key.private_numbers()

    @pytest.mark.parametrize("kind", [KeyAlgorithm.ED25519, KeyAlgorithm.ML_DSA_44])
    def test_other_kinds_of_keys_are_refused(self, sql: NssDatabase, kind: KeyAlgorithm) -> None:
        with pytest.raises(KeyStoreError, match=f"only, not {kind.value}"):
            STORE.generate_key(sql.key(), KeyRecord(gen_type=kind), MARKER, "")

    def test_a_present_key_is_kept_and_the_new_one_a_candidate(self, database: NssDatabase) -> None:
        first = STORE.generate_key(database.key(), EC, MARKER, "").facts
        second = STORE.generate_key(database.key(), RSA, MARKER, "")
        assert second.marker == MARKER
        assert database.private_keys() == [("ec", "web"), ("rsa", candidate_nickname(database.key(), MARKER))]
        assert STORE.read_key(database.key()) == first
        assert STORE.read_key(database.key(), MARKER) == second.facts
        STORE.discard_candidate(database.key(), MARKER)
        assert STORE.read_key(database.key(), MARKER) is None
        assert database.private_keys() == [("ec", "web")]

    def test_a_key_that_certutil_made_is_used(self, database: NssDatabase) -> None:
        database.make()
        database.certutil(
            "-S", "-n", "web", "-s", "CN=web", "-x", "-t", ",,", "-k", "rsa", "-g", "2048", "-Z", "SHA256"
        )
        facts = STORE.read_key(database.key())
        certificate = x509.load_pem_x509_certificate((STORE.read_certificate(database.cert()) or "").encode())
        assert facts is not None
        assert spki_of_key(STORE.private_key(database.key())) == facts.spki
        assert facts.bits == 2048
        assert same_certificate(STORE.read_certificate(database.cert()) or "", database.pem())
        assert certificate.subject.rfc4514_string() == "CN=web"


class TestSaving:
    def test_a_certificate_is_stored_beside_its_key(self, database: NssDatabase) -> None:
        STORE.generate_key(database.key(), EC, MARKER, "")
        pem = self_signed_pem(STORE.private_key(database.key()))
        saved = STORE.save_certificate(pem, database.cert(), database.key(), marker="", preserve_as="")
        assert (saved.key_swapped, saved.token) == (False, TOKEN)
        assert STORE.read_certificate(database.cert()) == pem
        assert same_certificate(database.pem(), pem)
        assert database.certificates() == [("web", "u,u,u")]
        assert database.private_keys() == [("ec", "web")]

    def test_a_renewed_certificate_takes_the_place_of_the_old_one(self, database: NssDatabase) -> None:
        enrol(database)
        pem = self_signed_pem(STORE.private_key(database.key()), serial=2)
        for _ in range(2):  # saving may be repeated
            saved = STORE.save_certificate(pem, database.cert(), database.key(), marker="", preserve_as="")
            assert not saved.key_swapped
            assert database.certificates() == [("web", "u,u,u")]
            assert same_certificate(database.pem(), pem)

    def test_a_candidate_becomes_the_key_with_its_certificate(self, database: NssDatabase) -> None:
        old = enrol(database)
        candidate = STORE.generate_key(database.key(), EC, MARKER, "")
        pem = self_signed_pem(STORE.private_key(database.key(), MARKER), serial=2)
        for _ in range(2):
            saved = STORE.save_certificate(
                pem, database.cert(), database.key(), marker=MARKER, preserve_as="", known_spki=old
            )
            assert saved.key_swapped
        facts = STORE.read_key(database.key())
        assert facts is not None
        assert facts.spki == candidate.facts.spki
        assert database.private_keys() == [("ec", "web")]
        assert database.certificates() == [("web", "u,u,u")]
        assert same_certificate(database.pem(), pem)

    def test_a_preserved_key_stays_without_nickname(self, sql: NssDatabase) -> None:
        old = enrol(sql)
        STORE.generate_key(sql.key(), EC, MARKER, "")
        pem = self_signed_pem(STORE.private_key(sql.key(), MARKER), serial=2)
        STORE.save_certificate(pem, sql.cert(), sql.key(), marker=MARKER, preserve_as="01", known_spki=old)
        assert sorted(name for _, name in sql.private_keys()) == ["(orphan)", "web"]

    def test_a_certificate_for_the_old_key_ends_the_candidate(self, sql: NssDatabase) -> None:
        old = enrol(sql)
        STORE.generate_key(sql.key(), EC, MARKER, "")
        pem = self_signed_pem(STORE.private_key(sql.key()), serial=2)
        saved = STORE.save_certificate(pem, sql.cert(), sql.key(), marker=MARKER, preserve_as="", known_spki=old)
        assert not saved.key_swapped
        assert sql.private_keys() == [("ec", "web")]
        assert same_certificate(sql.pem(), pem)

    def test_a_certificate_for_another_key_is_refused(self, sql: NssDatabase) -> None:
        enrol(sql)
        before = sql.pem()
        with pytest.raises(KeyStoreError, match="another key") as caught:
            STORE.save_certificate(self_signed_pem(ec_key("other")), sql.cert(), sql.key(), marker="", preserve_as="")
        assert caught.value.kind is FailureKind.OTHER
        assert sql.pem() == before

    def test_a_ca_may_give_the_same_serial_number_again(self, database: NssDatabase) -> None:
        old = enrol(database)
        STORE.generate_key(database.key(), EC, MARKER, "")
        pem = self_signed_pem(STORE.private_key(database.key(), MARKER))
        STORE.save_certificate(pem, database.cert(), database.key(), marker=MARKER, preserve_as="", known_spki=old)
        assert same_certificate(database.pem(), pem)
        assert database.private_keys() == [("ec", "web")]

    def test_a_changed_subject_is_stored_under_the_same_nickname(self, database: NssDatabase) -> None:
        enrol(database)
        pem = self_signed_pem(STORE.private_key(database.key()), "CN=renamed", serial=2)
        STORE.save_certificate(pem, database.cert(), database.key(), marker="", preserve_as="")
        assert same_certificate(database.pem(), pem)
        assert database.certificates() == [("web", "u,u,u")]
        assert database.private_keys() == [("ec", "web")]

    def test_requests_of_one_subject_in_one_database_leave_each_other_alone(self, sql: NssDatabase) -> None:
        first, second = enrol(sql, "one"), enrol(sql, "two", serial=2)
        enrol(sql, "two", serial=3)
        assert sql.certificates() == [("one", "u,u,u"), ("two", "u,u,u")]
        assert sql.private_keys() == [("ec", "one"), ("ec", "two")]
        one, two = STORE.read_key(sql.key("one")), STORE.read_key(sql.key("two"))
        assert one is not None
        assert two is not None
        assert one.spki == first
        assert two.spki not in (first, second)

    def test_where_a_subject_has_one_nickname_another_is_refused_and_the_first_left_alone(self, tmp_path: Path) -> None:
        dbm = NssDatabase(tmp_path, "dbm:")
        enrol(dbm, "one")
        before = dbm.pem("one")
        with pytest.raises(KeyStoreError, match='here "one"; use that'):
            enrol(dbm, "two", serial=2)
        assert same_certificate(STORE.read_certificate(dbm.cert("one")) or "", before)
        assert STORE.read_key(dbm.key("one")) is not None

    def test_trust_flags_are_kept(self, database: NssDatabase) -> None:
        old = enrol(database)
        database.certutil("-M", "-n", "web", "-t", "CTP,C,P")
        STORE.generate_key(database.key(), EC, MARKER, "")
        pem = self_signed_pem(STORE.private_key(database.key(), MARKER), "CN=renamed", serial=2)
        STORE.save_certificate(pem, database.cert(), database.key(), marker=MARKER, preserve_as="", known_spki=old)
        assert database.certificates() == [("web", "CTu,Cu,Pu")]

    def test_leftovers_of_the_nickname_are_removed(self, sql: NssDatabase) -> None:
        enrol(sql)
        for serial in (2, 3):
            certificate = self_signed_pem(STORE.private_key(sql.key()), serial=serial)
            sql.certutil("-A", "-n", "web", "-t", ",,", "-a", "-i", str(write_pem(sql, certificate)))
        assert len(sql.certificates()) == 3
        pem = self_signed_pem(STORE.private_key(sql.key()), serial=4)
        STORE.save_certificate(pem, sql.cert(), sql.key(), marker="", preserve_as="")
        assert sql.certificates() == [("web", "u,u,u")]
        assert same_certificate(sql.pem(), pem)

    def test_the_files_get_their_owners_and_modes(self, database: NssDatabase) -> None:
        key = replace(database.key(), owner="1:2", perms=0o640)
        cert = replace(database.cert(), owner="3:4", perms=0o644)
        STORE.generate_key(key, EC, MARKER, "")
        STORE.save_certificate(self_signed_pem(STORE.private_key(key)), cert, key, marker="", preserve_as="")
        found = {}
        for path in database.directory.iterdir():
            status = path.stat()
            found[path.name] = (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))
        key_file, *others = ("key4.db", "cert9.db", "pkcs11.txt")
        if database.prefix == "dbm:":
            key_file, *others = ("key3.db", "cert8.db", "secmod.db")
        assert found == {key_file: (1, 2, 0o640)} | dict.fromkeys(others, (3, 4, 0o644))


class TestRefusals:
    """Kinds decide the state that a request waits in: PIN, TOKEN and PERMS wait for somebody."""

    @pytest.mark.parametrize(
        ("pin", "given", "reason"),
        [
            ("secret", "", "needs a PIN and none is known"),
            ("secret", "wrong", "does not accept the PIN"),
            ("", "superfluous", "A PIN is set, but the token"),
        ],
    )
    @pytest.mark.parametrize("prefix", ["sql:", "dbm:"])
    def test_a_pin_has_to_be_right(self, tmp_path: Path, prefix: str, pin: str, given: str, reason: str) -> None:
        database = NssDatabase(tmp_path, prefix, pin)
        enrol(database)
        key = database.key(pin=given)
        pem = self_signed_pem(STORE.private_key(database.key()), serial=2)
        attempts: tuple[Callable[[], object], ...] = (
            lambda: STORE.read_key(key),
            lambda: STORE.private_key(key),
            lambda: STORE.generate_key(key, EC, MARKER, ""),
            lambda: STORE.discard_candidate(key, MARKER),
            lambda: STORE.save_certificate(pem, database.cert(), key, marker="", preserve_as=""),
        )
        before = database.pem()
        for attempt in attempts:
            with pytest.raises(KeyStoreError, match=reason) as caught:
                attempt()
            assert caught.value.kind is FailureKind.PIN
            assert "secret" not in str(caught.value)
        assert database.pem() == before
        assert database.private_keys() == [("ec", "web")]

    def test_a_password_that_changed_is_noticed_when_something_is_signed(self, tmp_path: Path) -> None:
        database = NssDatabase(tmp_path, pin="before")
        enrol(database)
        key = STORE.private_key(database.key())
        (tmp_path / "old").write_text("before\n")
        (tmp_path / "new").write_text("after\n")
        database.certutil("-W", "-f", str(tmp_path / "old"), "-@", str(tmp_path / "new"))
        with pytest.raises(KeyStoreError) as caught:
            sign(key, b"data", "sha256")
        assert caught.value.kind is FailureKind.PIN

    def test_a_new_database_gets_the_pin_as_its_password(self, tmp_path: Path) -> None:
        database = NssDatabase(tmp_path, pin="secret")
        STORE.generate_key(database.key(), EC, MARKER, "")
        assert database.private_keys() == [("ec", "web")]
        with pytest.raises(KeyStoreError, match="needs a PIN"):
            STORE.read_key(database.key(pin=""))

    def test_a_pin_file_without_pin_makes_no_open_database(self, sql: NssDatabase) -> None:
        with pytest.raises(KeyStoreError) as caught:
            STORE.generate_key(replace(sql.key(), pin_file=str(sql.directory / "no-pin")), EC, MARKER, "")
        assert caught.value.kind is FailureKind.PIN
        assert list(sql.directory.iterdir()) == []

    @pytest.mark.parametrize("mode", ["IMMEDIATE", "EXCLUSIVE"])
    def test_somebody_who_is_writing_is_waited_for_some_time(
        self, sql: NssDatabase, monkeypatch: pytest.MonkeyPatch, mode: str
    ) -> None:
        STORE.generate_key(sql.key(), EC, MARKER, "")
        with closing(sqlite3.connect(sql.directory / "key4.db", isolation_level=None)) as other:
            other.execute(f"BEGIN {mode}")
            monkeypatch.setattr("certmongerd.keystore.nss.store.WORKER", Worker(WORKER.module, time_limit_s=20))
            with pytest.raises(KeyStoreError, match="Another program has locked") as caught:
                STORE.generate_key(sql.key("other"), EC, MARKER, "")
            assert caught.value.kind is FailureKind.OTHER
            monkeypatch.undo()
            with ThreadPoolExecutor() as threads:
                waiting = threads.submit(STORE.generate_key, sql.key("other"), EC, MARKER, "")
                with pytest.raises(TimeoutError):
                    waiting.result(timeout=0.5)
                other.execute("ROLLBACK")
                assert waiting.result().marker == ""
        assert sorted(sql.private_keys()) == [("ec", "other"), ("ec", "web")]

    def test_an_unknown_token_is_named(self, sql: NssDatabase) -> None:
        sql.make()
        with pytest.raises(KeyStoreError, match='no token called "HSM"') as caught:
            STORE.read_key(sql.key(token="HSM"))
        assert caught.value.kind is FailureKind.TOKEN
        assert STORE.read_key(sql.key(token=TOKEN)) is None

    def test_a_key_that_vanished_is_a_token_failure(self, sql: NssDatabase) -> None:
        enrol(sql)
        key = STORE.private_key(sql.key())
        sql.certutil("-F", "-n", "web")
        for attempt in (lambda: STORE.private_key(sql.key()), lambda: sign(key, b"data", "sha256")):
            with pytest.raises(KeyStoreError) as caught:
                attempt()
            assert caught.value.kind is FailureKind.TOKEN

    def test_a_missing_directory_is_not_made(self, tmp_path: Path) -> None:
        database = NssDatabase(tmp_path / "gone")
        with pytest.raises(KeyStoreError) as caught:
            STORE.generate_key(database.key(), EC, MARKER, "")
        assert caught.value.kind is FailureKind.PERMS
        with pytest.raises(KeyStoreError, match="no database directory") as caught:
            STORE.read_key(database.key())
        assert caught.value.kind is FailureKind.OTHER
        assert list(tmp_path.iterdir()) == []

    def test_what_is_no_database_is_refused_and_left_alone(self, sql: NssDatabase) -> None:
        for name in ("cert9.db", "key4.db"):
            (sql.directory / name).write_bytes(b"junk" * 999)
        with pytest.raises(KeyStoreError):
            STORE.generate_key(sql.key(), EC, MARKER, "")
        with pytest.raises(KeyStoreError):
            STORE.read_key(sql.key())
        assert (sql.directory / "key4.db").read_bytes() == b"junk" * 999

    def test_a_user_who_may_not_write_cannot_save(self, sql: NssDatabase) -> None:
        STORE.generate_key(sql.key(), EC, MARKER, "")
        pem = self_signed_pem(STORE.private_key(sql.key()))
        open_folders(sql.directory)
        with pytest.raises(KeyStoreError) as caught:
            STORE.save_certificate(pem, sql.cert(), sql.key(), marker="", preserve_as="", user="nobody")
        assert caught.value.kind is FailureKind.PERMS
        assert sql.certificates() == []

    def test_the_user_who_owns_the_database_saves(self, sql: NssDatabase) -> None:
        STORE.generate_key(sql.key(), EC, MARKER, "")
        pem = self_signed_pem(STORE.private_key(sql.key()))
        open_folders(sql.directory.parent)
        for path in (sql.directory, *sql.directory.iterdir()):
            shutil.chown(path, "nobody")
        STORE.save_certificate(pem, sql.cert(), sql.key(), marker="", preserve_as="", user="nobody")
        assert same_certificate(sql.pem(), pem)

    def test_an_unknown_user_cannot_save(self, sql: NssDatabase) -> None:
        enrol(sql)
        with pytest.raises(KeyStoreError, match='The user "nonesuch" does not exist') as caught:
            STORE.save_certificate(sql.pem(), sql.cert(), sql.key(), marker="", preserve_as="", user="nonesuch")
        assert caught.value.kind is FailureKind.PERMS
