"""Somebody who owns a directory exchanges it with a link to root's while files in it are read and written."""

import ctypes
import os
import pwd
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from keystore_material import MARKER, cert_pem, key_pem, place_in, write
from pki_material import ec_key

from certmongerd.core.errors import KeyStoreError
from certmongerd.core.model import KeyStorage
from certmongerd.keystore import links
from certmongerd.keystore.direct import open_without_links
from certmongerd.keystore.file import FileKeyStore
from certmongerd.keystore.pin import read_pin
from certmongerd.pki.keys import key_facts

STORE = FileKeyStore()
NOBODY = pwd.getpwnam("nobody").pw_uid
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_LIBC = ctypes.CDLL(None, use_errno=True)

pytestmark = pytest.mark.xfail(os.geteuid() != 0, reason="only root makes links of others", strict=True)


def exchange(first: Path, second: Path) -> None:
    """Both names at once, as somebody would who wants to hit the moment."""
    done = _LIBC.renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    assert done == 0, os.strerror(ctypes.get_errno())


class Scene:
    """`folder/pki` belongs to nobody, as does `folder/link` to root's `treasury`, where files are called the same."""

    def __init__(self, root: Path) -> None:
        self.folder, self.treasury = root / "folder", root / "treasury"
        self.folder.mkdir(parents=True)
        self.treasury.mkdir()
        self.place = place_in(self.folder / "pki")
        self.link = self.folder / "link"
        self.link.symlink_to(self.treasury)
        for path in (self.folder, self.folder / "pki", self.link):
            os.chown(path, NOBODY, -1, follow_symlinks=False)
        for name in ("a.crt", "a.key", f"a.key.{MARKER}.key", "pin"):
            (self.treasury / name).write_text(f"precious {name}\n")
        self.precious = self.treasures()

    def treasures(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.treasury.iterdir()}

    def exchange(self) -> None:
        exchange(self.folder / "pki", self.link)

    def save(self) -> None:
        """A new key and its certificate, in the place of the ones before."""
        known = key_facts(ec_key("old")).spki
        STORE.save_certificate(
            cert_pem("b", "new"), self.place.cert, self.place.key, marker=MARKER, preserve_as="0A", known_spki=known
        )

    def prepare(self) -> None:
        """A key, its certificate, and a candidate."""
        real = self.folder / "pki" if not (self.folder / "pki").is_symlink() else self.link
        for name, content in {
            "a.key": key_pem("old"),
            "a.crt": cert_pem("a", "old").encode(),
            f"a.key.{MARKER}.key": key_pem("new"),
        }.items():
            write(real / name, content)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.mark.parametrize(
    ("enter", "moments"), [(open_without_links, 20), (lambda *_: None, 30)], ids=["direct", "walk"]
)
def test_an_exchange_before_any_opening_hits_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enter: Callable[[str, int], int | None], moments: int
) -> None:
    """Each opening is a moment in which a path might lead elsewhere than at the check."""
    number, opened = 0, 1
    while opened > number:
        number += 1
        scene = Scene(tmp_path / str(number))
        scene.prepare()
        opened = 0

        def opening(really_open: Callable[..., Any], scene: Scene = scene, at: int = number) -> Callable[..., Any]:
            def opens(*args: Any, **kwargs: Any) -> Any:
                nonlocal opened
                opened += 1
                if opened == at:
                    scene.exchange()
                return really_open(*args, **kwargs)

            return opens

        with monkeypatch.context() as patches, suppress(KeyStoreError):
            patches.setattr(links, "open_without_links", opening(enter))
            patches.setattr(os, "open", opening(os.open))
            scene.save()
        assert scene.treasures() == scene.precious
    assert number > moments


@contextmanager
def exchanging_all_the_time(scene: Scene) -> Iterator[None]:
    child = os.fork()
    if child == 0:
        while True:
            scene.exchange()
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_somebody_who_exchanges_all_the_time_gets_nothing_written(scene: Scene) -> None:
    saved = refused = 0
    while min(saved, refused) < 10:
        scene.prepare()
        with exchanging_all_the_time(scene):
            for _ in range(10):
                try:
                    scene.save()
                except KeyStoreError:
                    refused += 1
                else:
                    saved += 1
        assert scene.treasures() == scene.precious


def test_nor_read(scene: Scene) -> None:
    (scene.folder / "pki" / "pin").write_text("1234\n")
    storage = KeyStorage(pin_file=str(scene.folder / "pki" / "pin"))
    read: list[str | None] = []
    refused: list[str] = []
    with exchanging_all_the_time(scene):
        while min(len(read), len(refused)) < 10:
            try:
                read.append(read_pin(storage))
            except KeyStoreError as error:
                refused.append(error.reason)
    assert set(read) == {"1234"}
    # What was no directory a moment ago, and is no link any more, is refused as well.
    assert [reason for reason in refused if not re.search("symbolic link|Not a directory$", reason)] == []
