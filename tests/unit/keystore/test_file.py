import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from keystore_material import MARKER, Place, cert_pem, key_pem, place_in, write
from pki_material import damaged_rsa_pem, ec_key

from certmongerd.core.errors import FailureKind, KeyMissing, KeyStoreError
from certmongerd.core.model import KeyAlgorithm, KeyRecord, KeyStorage, StorageType
from certmongerd.core.secret import Secret
from certmongerd.keystore.file import FileKeyStore
from certmongerd.keystore.replacing import MAXIMUM_BYTES, staged_name
from certmongerd.pki.keys import dump_private_key, key_facts, load_private_key

STORE = FileKeyStore()
EC = KeyRecord(gen_type=KeyAlgorithm.EC, gen_size=256)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_in(tmp_path / "pki")


@contextmanager
def _without_privileges() -> Iterator[None]:
    """For root, whom no mode stops: as somebody else."""
    own = os.geteuid()
    if own == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(own)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _save(place: Place, pem: str, *, marker: str = "", preserve_as: str = "", known_spki: bytes = b"") -> bool:
    return STORE.save_certificate(
        pem, place.cert, place.key, marker=marker, preserve_as=preserve_as, known_spki=known_spki
    ).key_swapped


class TestReading:
    def test_a_key_is_examined_when_it_appears_and_not_again(self, place: Place) -> None:
        damaged = damaged_rsa_pem("a")
        write(Path(place.key.location), damaged)
        known = key_facts(load_private_key(damaged, None, validate=False)).spki
        facts = STORE.read_key(place.key, known_spki=known)
        assert facts is not None
        assert facts.spki == known
        for unknown in (b"", key_facts(ec_key("a")).spki):
            with pytest.raises(KeyStoreError):
                STORE.read_key(place.key, known_spki=unknown)

    def test_an_absent_or_empty_key_file_holds_no_key(self, place: Place) -> None:
        assert STORE.read_key(place.key) is None
        place.key_path.touch()
        assert STORE.read_key(place.key) is None
        assert STORE.read_key(place.key, MARKER) is None
        assert STORE.read_key(KeyStorage()) is None

    def test_a_key_and_its_candidate_are_read(self, place: Place) -> None:
        write(place.key_path, key_pem("old"))
        write(place.candidate_path, key_pem("new"))
        assert STORE.read_key(place.key) == key_facts(ec_key("old"))
        assert STORE.read_key(place.key, MARKER) == key_facts(ec_key("new"))
        assert key_facts(STORE.private_key(place.key)) == key_facts(ec_key("old"))
        assert key_facts(STORE.private_key(place.key, MARKER)) == key_facts(ec_key("new"))

    def test_an_encrypted_key_needs_its_pin(self, place: Place) -> None:
        write(place.key_path, dump_private_key(ec_key("old"), "pin", "aes256"))
        for pin in (None, Secret("wrong")):
            with pytest.raises(KeyStoreError) as caught:
                STORE.read_key(replace(place.key, pin=pin))
            assert caught.value.kind is FailureKind.PIN
            assert caught.value.location == place.key.location
            assert "wrong" not in str(caught.value)
        assert STORE.read_key(replace(place.key, pin=Secret("pin"))) == key_facts(ec_key("old"))

    def test_an_absent_key_cannot_be_used(self, place: Place) -> None:
        for storage in (place.key, KeyStorage()):
            with pytest.raises(KeyStoreError, match="no private key") as caught:
                STORE.private_key(storage)
            assert caught.value.kind is FailureKind.OTHER

    def test_a_missing_right_is_told_apart(self, place: Place) -> None:
        write(place.key_path, key_pem("old"), 0)
        with _without_privileges(), pytest.raises(KeyStoreError, match="Permission denied") as caught:
            STORE.read_key(place.key)
        assert caught.value.kind is FailureKind.PERMS

    def test_what_is_no_regular_file_is_not_waited_for(self, place: Place) -> None:
        os.mkfifo(place.key_path)
        for path in (place.key_path, Path("/dev/zero"), place.directory):
            with pytest.raises(KeyStoreError) as caught:
                STORE.read_key(replace(place.key, location=str(path)))
            assert caught.value.kind is FailureKind.OTHER

    def test_a_huge_file_is_not_read_to_its_end(self, place: Place) -> None:
        with place.key_path.open("wb") as file:
            file.truncate(MAXIMUM_BYTES + 1)
        with pytest.raises(KeyStoreError, match="too large"):
            STORE.read_key(place.key)

    def test_a_certificate_is_read_without_what_is_around_it(self, place: Place) -> None:
        assert STORE.read_certificate(place.cert) is None
        place.cert_path.touch()
        assert STORE.read_certificate(place.cert) is None
        write(place.cert_path, ("text\n" + cert_pem("a", "old") + cert_pem("b", "new")).encode())
        assert STORE.read_certificate(place.cert) == cert_pem("a", "old")

    def test_a_file_without_certificate_is_refused(self, place: Place) -> None:
        write(place.cert_path, b"junk")
        with pytest.raises(KeyStoreError) as caught:
            STORE.read_certificate(place.cert)
        assert (caught.value.kind, caught.value.location) == (FailureKind.OTHER, place.cert.location)


class TestGenerating:
    @pytest.mark.parametrize("leftover", [False, True])
    def test_the_first_key_is_made_in_its_place(self, place: Place, leftover: bool) -> None:
        if leftover:
            place.key_path.touch()
        generated = STORE.generate_key(place.key, EC, MARKER, "aes128")
        assert generated.marker == ""
        assert STORE.read_key(place.key) == generated.facts
        assert (generated.facts.algorithm, generated.facts.bits) == (KeyAlgorithm.EC, 256)
        assert sorted(place.content()) == ["a.key"]

    def test_a_later_key_is_a_candidate(self, place: Place) -> None:
        write(place.key_path, key_pem("old"))
        generated = STORE.generate_key(place.key, EC, MARKER, "aes128")
        assert generated.marker == MARKER
        assert STORE.read_key(place.key, MARKER) == generated.facts
        assert place.key_path.read_bytes() == key_pem("old")

    def test_new_keys_are_private_and_get_the_configured_mode(self, place: Place) -> None:
        STORE.generate_key(place.key, EC, MARKER, "aes128")
        assert _mode(place.key_path) == 0o600
        STORE.generate_key(replace(place.key, perms=0o440), EC, MARKER, "aes128")
        assert _mode(place.candidate_path) == 0o440

    def test_a_pin_encrypts_the_key(self, place: Place) -> None:
        storage = replace(place.key, pin=Secret("pin"))
        generated = STORE.generate_key(storage, EC, MARKER, "aes256")
        assert key_facts(load_private_key(place.key_path.read_bytes(), "pin")) == generated.facts

    def test_a_missing_pin_file_makes_no_key(self, place: Place) -> None:
        storage = replace(place.key, pin_file=str(place.directory / "pin"))
        with pytest.raises(KeyStoreError) as caught:
            STORE.generate_key(storage, EC, MARKER, "aes256")
        assert caught.value.kind is FailureKind.PIN
        assert place.content() == {}

    def test_a_failure_leaves_nothing_behind(self, place: Place) -> None:
        write(place.key_path, key_pem("old"))
        write(place.candidate_path, key_pem("new"))
        with pytest.raises(KeyStoreError, match="File exists"):
            STORE.generate_key(place.key, EC, MARKER, "aes128")
        assert sorted(place.content()) == ["a.key", place.candidate_path.name]

    def test_a_directory_without_rights_is_a_permission_failure(self, place: Place) -> None:
        place.directory.chmod(0o555)
        place.directory.parent.chmod(0o755)
        with _without_privileges(), pytest.raises(KeyStoreError) as caught:
            STORE.generate_key(place.key, EC, MARKER, "aes128")
        assert caught.value.kind is FailureKind.PERMS

    def test_a_missing_directory_is_another_failure(self, place: Place) -> None:
        storage = replace(place.key, location=str(place.directory / "no" / "a.key"))
        for where in (storage, KeyStorage(), replace(place.key, location="")):
            with pytest.raises(KeyStoreError) as caught:
                STORE.generate_key(where, EC, MARKER, "aes128")
            assert caught.value.kind is FailureKind.OTHER

    def test_an_impossible_size_is_another_failure(self, place: Place) -> None:
        with pytest.raises(KeyStoreError, match="100000 bits") as caught:
            STORE.generate_key(place.key, KeyRecord(gen_size=100_000), MARKER, "aes128")
        assert caught.value.kind is FailureKind.OTHER

    def test_a_dangling_link_gets_its_target(self, place: Place, tmp_path: Path) -> None:
        place.key_path.symlink_to(tmp_path / "real.key")
        generated = STORE.generate_key(place.key, EC, MARKER, "aes128")
        assert place.key_path.is_symlink()
        assert STORE.read_key(replace(place.key, location=str(tmp_path / "real.key"))) == generated.facts

    def test_a_candidate_can_be_discarded_twice(self, place: Place) -> None:
        write(place.candidate_path, key_pem("new"))
        for _ in range(2):
            STORE.discard_candidate(place.key, MARKER)
            assert place.content() == {}


class TestSaving:
    def test_a_certificate_for_the_key_is_written_and_the_key_is_not(self, place: Place) -> None:
        write(place.key_path, b"my key\n" + key_pem("old"), 0o640)
        before = place.key_path.stat()
        assert not _save(place, cert_pem("a", "old"))
        assert place.cert_path.read_text() == cert_pem("a", "old")
        assert _mode(place.cert_path) == 0o600
        after = place.key_path.stat()
        assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (before.st_ino, before.st_mtime_ns, before.st_mode)

    def test_modes_are_kept_or_set(self, place: Place) -> None:
        write(place.key_path, key_pem("old"), 0o640)
        write(place.cert_path, b"older", 0o644)
        _save(place, cert_pem("a", "old"))
        assert (_mode(place.key_path), _mode(place.cert_path)) == (0o640, 0o644)
        other = replace(place, key=replace(place.key, perms=0o400), cert=replace(place.cert, perms=0o444))
        _save(other, cert_pem("b", "old"))
        assert (_mode(place.key_path), _mode(place.cert_path)) == (0o400, 0o444)

    def test_a_certificate_for_the_candidate_exchanges_the_keys(self, place: Place) -> None:
        write(place.key_path, key_pem("old"), 0o640)
        write(place.cert_path, cert_pem("a", "old").encode(), 0o644)
        write(place.candidate_path, key_pem("new"))
        assert _save(place, cert_pem("b", "new"), marker=MARKER, preserve_as="")
        assert place.content() == {"a.crt": (0o644, cert_pem("b", "new").encode()), "a.key": (0o640, key_pem("new"))}

    def test_an_encrypted_candidate_stays_encrypted(self, place: Place) -> None:
        encrypted = dump_private_key(ec_key("new"), "pin", "aes128")
        write(place.key_path, dump_private_key(ec_key("old"), "pin", "aes128"))
        write(place.candidate_path, encrypted)
        other = replace(place, key=replace(place.key, pin=Secret("pin")))
        assert _save(other, cert_pem("b", "new"), marker=MARKER)
        assert place.key_path.read_bytes() == encrypted

    def test_a_replaced_key_is_kept_when_asked_for(self, place: Place) -> None:
        write(place.key_path, key_pem("old"))
        write(place.candidate_path, key_pem("new"))
        write(place.directory / "a.key.0A.key", key_pem("another"))
        _save(place, cert_pem("b", "new"), marker=MARKER, preserve_as="0A")
        kept = {name: content for name, (_, content) in place.content().items() if name != "a.crt"}
        assert kept == {
            "a.key": key_pem("new"),
            "a.key.0A.key": key_pem("another"),
            "a.key.0A-1.key": key_pem("old"),
        }

    def test_a_certificate_for_the_old_key_drops_the_candidate(self, place: Place) -> None:
        write(place.key_path, key_pem("old"))
        write(place.candidate_path, key_pem("new"))
        assert not _save(place, cert_pem("b", "old"), marker=MARKER)
        assert place.content() == {"a.crt": (0o600, cert_pem("b", "old").encode()), "a.key": (0o600, key_pem("old"))}

    @pytest.mark.parametrize("marker", ["", MARKER])
    @pytest.mark.parametrize("present", [(), ("a.key",), ("a.key", f"a.key.{MARKER}.key")])
    def test_a_certificate_for_neither_key_changes_nothing(
        self, place: Place, marker: str, present: tuple[str, ...]
    ) -> None:
        for name in present:
            write(place.directory / name, key_pem(f"of {name}"))
        write(place.cert_path, cert_pem("a", "old").encode())
        before = place.content()
        # Without its candidate, a request cannot but make another one.
        is_candidate_gone = bool(marker) and len(present) < 2
        with pytest.raises(KeyStoreError, match="no private key" if is_candidate_gone else "another key") as caught:
            _save(place, cert_pem("b", "foreign"), marker=marker)
        assert isinstance(caught.value, KeyMissing) == is_candidate_gone
        assert caught.value.kind is FailureKind.OTHER
        assert place.content() == before

    def test_a_repetition_knows_the_exchange_from_the_recorded_key(self, place: Place) -> None:
        write(place.key_path, key_pem("new"))
        assert _save(place, cert_pem("b", "new"), marker=MARKER, known_spki=key_facts(ec_key("old")).spki)
        assert _save(place, cert_pem("b", "new"), marker=MARKER)
        assert not _save(place, cert_pem("b", "new"), marker=MARKER, known_spki=key_facts(ec_key("new")).spki)

    def test_an_unreadable_old_key_does_not_stand_in_the_way_of_its_successor(self, place: Place) -> None:
        write(place.key_path, b"junk")
        write(place.candidate_path, key_pem("new"))
        assert _save(place, cert_pem("b", "new"), marker=MARKER, preserve_as="01")
        assert place.key_path.read_bytes() == key_pem("new")
        assert (place.directory / "a.key.01.key").read_bytes() == b"junk"

    def test_a_request_without_key_gets_its_certificate(self, place: Place) -> None:
        other = replace(place, key=KeyStorage())
        assert not _save(other, cert_pem("a", "anybody's"))
        assert place.cert_path.read_text() == cert_pem("a", "anybody's")

    def test_a_key_elsewhere_is_not_supported(self, place: Place) -> None:
        other = replace(place, key=KeyStorage(type=StorageType.NSSDB, location="sql:/db"))
        with pytest.raises(KeyStoreError) as caught:
            _save(other, cert_pem("a", "old"))
        assert caught.value.kind is FailureKind.TOKEN

    def test_what_is_no_certificate_is_refused(self, place: Place) -> None:
        write(place.key_path, key_pem("old"))
        with pytest.raises(KeyStoreError) as caught:
            _save(place, "junk")
        assert caught.value.kind is FailureKind.OTHER
        assert sorted(place.content()) == ["a.key"]

    def test_links_are_followed_and_kept(self, place: Place, tmp_path: Path) -> None:
        real = tmp_path / "elsewhere"
        real.mkdir()
        for path, content in ((place.key_path, key_pem("old")), (place.cert_path, b"older")):
            write(real / path.name, content)
            path.symlink_to(real / path.name)
        write(place.candidate_path, key_pem("new"))
        assert _save(place, cert_pem("b", "new"), marker=MARKER)
        assert (place.key_path.is_symlink(), place.cert_path.is_symlink()) == (True, True)
        assert (real / "a.key").read_bytes() == key_pem("new")
        assert (real / "a.crt").read_text() == cert_pem("b", "new")
        assert sorted(os.listdir(real)) == ["a.crt", "a.key"]
        assert sorted(os.listdir(place.directory)) == ["a.crt", "a.key"]

    def test_a_certificate_that_cannot_be_written_leaves_the_keys_alone(self, place: Place) -> None:
        write(place.key_path, key_pem("old"))
        write(place.candidate_path, key_pem("new"))
        before = place.content()
        other = replace(place, cert=replace(place.cert, location=str(place.directory / "no" / "a.crt")))
        with pytest.raises(KeyStoreError, match="certificate cannot be stored"):
            _save(other, cert_pem("b", "new"), marker=MARKER)
        assert place.content() == before


class TestCaCertificates:
    def test_they_are_written_one_after_the_other(self, place: Place) -> None:
        path = place.directory / "ca.crt"
        STORE.save_certificates(str(path), [cert_pem("a", "old"), cert_pem("b", "new").rstrip()])
        assert path.read_text() == cert_pem("a", "old") + cert_pem("b", "new")
        assert _mode(path) == 0o600

    def test_without_any_the_file_is_left_alone(self, place: Place) -> None:
        STORE.save_certificates(place.cert.location, [])
        assert place.content() == {}

    def test_an_unchanged_file_is_not_written_again(self, place: Place) -> None:
        write(place.cert_path, cert_pem("a", "old").encode(), 0o644)
        before = place.cert_path.stat().st_ino
        STORE.save_certificates(place.cert.location, [cert_pem("a", "old")])
        assert place.cert_path.stat().st_ino == before
        STORE.save_certificates(place.cert.location, [cert_pem("b", "old")])
        assert (place.cert_path.stat().st_ino != before, _mode(place.cert_path)) == (True, 0o644)

    def test_a_mode_is_applied(self, place: Place) -> None:
        STORE.save_certificates(place.cert.location, [cert_pem("a", "old")], 0o444)
        assert _mode(place.cert_path) == 0o444


class TestSweeping:
    def test_only_leftovers_of_the_same_file_are_removed(self, place: Place) -> None:
        write(place.key_path, key_pem("old"))
        write(place.directory / staged_name("a.key"), b"half")
        write(place.directory / staged_name("a.crt"), b"somebody else's")
        write(place.directory / ".certmongerd-more", b"somebody else's")
        STORE.sweep_leftovers(place.key.location)
        remaining = [staged_name("a.crt"), ".certmongerd-more", "a.key"]
        assert sorted(place.content()) == sorted(remaining)

    def test_a_missing_directory_has_no_leftovers(self, place: Place) -> None:
        STORE.sweep_leftovers(str(place.directory / "no" / "a.key"))
