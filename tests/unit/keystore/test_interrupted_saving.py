"""The process is killed before every single file operation, and then saving is repeated."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from keystore_material import MARKER, Place, cert_pem, key_pem, place_in, write
from pki_material import ec_key

from certmongerd.core.errors import KeyStoreError
from certmongerd.core.model import KeyAlgorithm, KeyRecord
from certmongerd.keystore.file import FileKeyStore
from certmongerd.pki.keys import key_facts

STORE = FileKeyStore()
_OPERATIONS = ("open", "write", "fsync", "rename", "link", "unlink", "fchmod", "fchown", "chmod", "chown", "setxattr")
_KILLED = 3


def _killed_before(operation_number: int, action: Callable[[], object]) -> bool:
    """Run *action* in a child that dies before its n-th file operation; False when it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            _dying_at(operation_number)
            action()
        finally:
            os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, _KILLED)
    return status == _KILLED


def _dying_at(operation_number: int) -> None:
    """Make the n-th file operation of this process its last, half done if it is a write."""
    done = 0

    def dying(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*args: Any, **kwargs: Any) -> Any:
            nonlocal done
            done += 1
            if done == operation_number:
                if name == "write":
                    real(args[0], args[1][: len(args[1]) // 2])
                os._exit(_KILLED)
            return real(*args, **kwargs)

        return operation

    for name in _OPERATIONS:
        setattr(os, name, dying(name, getattr(os, name)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Files before saving, and what is saved."""

    name: str
    files: dict[str, bytes]
    cert: str
    marker: str = MARKER
    preserve_as: str = ""
    linked: bool = False
    swaps: bool = True

    def prepared(self, directory: Path) -> Place:
        place = place_in(directory / "pki")
        if self.linked:
            real = directory / "real"
            real.mkdir()
            for path in (place.key_path, place.cert_path):
                path.symlink_to(real / path.name)
        for name, content in self.files.items():
            write(place.directory / name, content)
        return place

    def save(self, place: Place) -> bool:
        known = key_facts(ec_key("old")).spki
        return STORE.save_certificate(
            self.cert, place.cert, place.key, marker=self.marker, preserve_as=self.preserve_as, known_spki=known
        ).key_swapped


_OLD = {"a.key": key_pem("old"), "a.crt": cert_pem("a", "old").encode()}
_BOTH = {**_OLD, f"a.key.{MARKER}.key": key_pem("new")}
_SCENARIOS = [
    Scenario(name="exchange", files=_BOTH, cert=cert_pem("b", "new")),
    Scenario(name="exchange-and-preserve", files=_BOTH, cert=cert_pem("b", "new"), preserve_as="0A"),
    Scenario(name="exchange-through-links", files=_BOTH, cert=cert_pem("b", "new"), linked=True),
    Scenario(name="old-key", files=_BOTH, cert=cert_pem("b", "old"), swaps=False),
    Scenario(name="renewal", files=_OLD, cert=cert_pem("b", "old"), marker="", swaps=False),
    Scenario(name="first", files={"a.key": key_pem("old")}, cert=cert_pem("b", "old"), marker="", swaps=False),
]


@pytest.mark.parametrize("scenario", _SCENARIOS, ids=lambda scenario: scenario.name)
def test_saving_that_was_killed_anywhere_is_completed_by_a_repetition(scenario: Scenario, tmp_path: Path) -> None:
    expected = scenario.prepared(tmp_path / "expected")
    assert scenario.save(expected) is scenario.swaps
    number = 0
    while True:
        number += 1
        directory = tmp_path / str(number)
        place = scenario.prepared(directory)
        was_killed = _killed_before(number, lambda place=place: scenario.save(place))  # type: ignore[misc]  # bound now
        assert place.key_path.read_bytes() in (key_pem("old"), key_pem("new"))
        assert not place.cert_path.exists() or place.cert_path.read_text() in (cert_pem("a", "old"), scenario.cert)
        for path in (place.key, place.cert):
            STORE.sweep_leftovers(path.location)
        assert scenario.save(place) is scenario.swaps
        assert place.content() == expected.content()
        shutil.rmtree(directory)
        if not was_killed:
            break
    assert number > 8


@pytest.mark.parametrize("scenario", _SCENARIOS[:3], ids=lambda scenario: scenario.name)
def test_an_exchange_that_was_killed_anywhere_is_finished_or_undone_by_the_next_start(
    scenario: Scenario, tmp_path: Path
) -> None:
    number = 1
    place = scenario.prepared(tmp_path / "1")
    while _killed_before(number, lambda place=place: scenario.save(place)):  # type: ignore[misc]  # bound now
        has_new_key = place.key_path.read_bytes() == key_pem("new")
        spki = key_facts(ec_key("new" if has_new_key else "old")).spki
        STORE.finish_exchange(place.cert, spki)
        STORE.sweep_leftovers(place.cert.location)
        assert place.cert_path.read_text() == (scenario.cert if has_new_key else cert_pem("a", "old"))
        number += 1
        place = scenario.prepared(tmp_path / str(number))


@pytest.mark.parametrize("scenario", _SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_repetition_needs_no_sweeping(scenario: Scenario, tmp_path: Path) -> None:
    expected = scenario.prepared(tmp_path / "expected")
    scenario.save(expected)
    number = 1
    place = scenario.prepared(tmp_path / "1")
    while _killed_before(number, lambda place=place: scenario.save(place)):  # type: ignore[misc]  # bound now
        assert scenario.save(place) is scenario.swaps
        assert place.content() == expected.content()
        number += 1
        place = scenario.prepared(tmp_path / str(number))


@pytest.mark.parametrize("present", [False, True])
def test_generation_that_was_killed_anywhere_can_be_repeated(tmp_path: Path, present: bool) -> None:
    record = KeyRecord(gen_type=KeyAlgorithm.EC, gen_size=256)
    number = 0
    while True:
        number += 1
        place = place_in(tmp_path / str(number))
        if present:
            write(place.key_path, key_pem("old"))
        was_killed = _killed_before(number, lambda place=place: STORE.generate_key(place.key, record, MARKER, ""))  # type: ignore[misc]  # bound now
        if not was_killed:
            break
        for location in (place.key.location, str(place.candidate_path)):
            STORE.sweep_leftovers(location)
        assert {*place.content()} <= {"a.key", place.candidate_path.name}
        STORE.discard_candidate(place.key, MARKER)
        generated = STORE.generate_key(place.key, record, MARKER, "")
        assert STORE.read_key(place.key, generated.marker) == generated.facts
    assert number > 5


def test_every_file_is_durable_before_its_rename_and_its_directory_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = _SCENARIOS[1]
    place = scenario.prepared(tmp_path)
    synced: list[str] = []
    unsynced_names: set[str] = set()
    real_fsync, real_rename, real_unlink = os.fsync, os.rename, os.unlink

    def fsync(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        synced.append(path)
        unsynced_names.discard(path)
        real_fsync(descriptor)

    def full(name: str, dir_fd: int) -> str:
        return os.path.normpath(os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), name))

    def rename(source: str, destination: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        assert full(source, src_dir_fd) in synced
        synced.append(full(destination, dst_dir_fd))
        unsynced_names.add(os.path.dirname(full(destination, dst_dir_fd)))
        real_rename(source, destination, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def unlink(name: str, *, dir_fd: int) -> None:
        path = full(name, dir_fd)
        assert path != str(place.candidate_path) or not unsynced_names
        real_unlink(name, dir_fd=dir_fd)
        unsynced_names.add(os.path.dirname(path))

    # The kernel does not tell what would survive a power failure, so the calls are watched on their way to it.
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(os, "unlink", unlink)
    assert scenario.save(place)
    assert not unsynced_names


def test_a_refused_certificate_leaves_no_temporary_file(tmp_path: Path) -> None:
    place = _SCENARIOS[0].prepared(tmp_path)
    with pytest.raises(KeyStoreError):
        STORE.save_certificate(cert_pem("c", "foreign"), place.cert, place.key, marker=MARKER, preserve_as="")
    assert {name: content for name, (_, content) in place.content().items()} == _BOTH
