"""certmonger itself, on a private bus, works with state directories that we wrote, and we with what it wrote."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from certmonger_under_test import Certmonger
from new_files import create_ca, create_request

from certmongerd.core.history import HistoryEntry
from certmongerd.core.ids import CaName, Nickname
from certmongerd.core.model import Ca, CertStorage, KeyStorage, Request, StorageType, Template
from certmongerd.core.states import State
from certmongerd.store.lock import InstanceLock, InstanceRunning
from certmongerd.store.repository import Repository

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
SAMPLES = Path(__file__).parents[2] / "data" / "store"


def repository_of(certmonger: Certmonger) -> Repository:
    repository = Repository(certmonger.root / "requests", certmonger.root / "cas")
    repository.prepare()
    return repository


@pytest.fixture
def certmonger(tmp_path: Path) -> Iterator[Certmonger]:
    certmonger = Certmonger(tmp_path)
    yield certmonger
    certmonger.stop()


def tracked(nickname: str, directory: Path, state: State = State.MONITORING) -> Request:
    return Request(
        id=Nickname(nickname),
        state=state,
        key_storage=KeyStorage(type=StorageType.FILE, location=str(directory / "k.pem"), perms=0o640),
        cert_storage=CertStorage(type=StorageType.FILE, location=str(directory / "c.pem")),
        declared_by="certmonger.conf.d",
        template=Template(subject='CN=a,O="B, C"', hostname=("a.example.org", "b\\,c"), ip_address=("192.0.2.1",)),
        ca_name=CaName("ours"),
        autorenew=False,
    )


def test_requests_that_we_wrote_are_listed_by_certmonger(certmonger: Certmonger) -> None:
    repository = repository_of(certmonger)
    wanted = {
        "plain": State.MONITORING,
        "with blanks, a comma and ü": State.CA_REJECTED,
        "waiting": State.NEED_GUIDANCE,
    }
    for nickname, state in wanted.items():
        create_request(repository, tracked(nickname, certmonger.root, state), NOW)
    create_ca(repository, Ca(id=CaName("ours"), external_helper="/bin/false"), NOW)
    certmonger.start()

    assert certmonger.listed() == {nickname: state.value for nickname, state in wanted.items()}


def test_recorded_requests_that_we_rewrote_are_listed_by_certmonger(certmonger: Certmonger) -> None:
    for kind in ("requests", "cas"):
        shutil.copytree(SAMPLES / kind, certmonger.root / kind)
    repository = repository_of(certmonger)
    loaded = repository.load()
    for request in loaded.requests:
        repository.saving_request(request.name, request.value)()
    for ca in loaded.cas:
        repository.saving_ca(ca.name, ca.value)()
    certmonger.start()

    assert sorted(certmonger.listed()) == sorted(request.value.id for request in loaded.requests)
    cas = re.findall(r"^CA '(.*)':$", certmonger.getcert("list-cas").stdout, re.MULTILINE)
    assert sorted(cas) == sorted(ca.value.id for ca in loaded.cas)


def test_certmonger_keeps_what_we_wrote(certmonger: Certmonger) -> None:
    repository = repository_of(certmonger)
    request = replace(
        tracked("kept", certmonger.root),
        cert_facts=replace(tracked("kept", certmonger.root).cert_facts, ca_path_length=-1),
        ca_cookie="order-17\nsecond line",
        ca_error="no, \\not\\ yet",
    )
    name = create_request(repository, request, NOW)
    certmonger.start()
    certmonger.stop()
    loaded = {stored.name: stored.value for stored in repository.load().requests}

    assert loaded[name].template == request.template
    assert loaded[name].key_storage == request.key_storage
    assert loaded[name].cert_storage == request.cert_storage
    assert loaded[name].state is State.MONITORING
    assert (loaded[name].autorenew, loaded[name].monitor) == (False, True)
    assert loaded[name].ca_error == request.ca_error
    assert loaded[name].ca_cookie.rstrip("\n") == request.ca_cookie


def test_certmonger_does_not_look_at_histories(certmonger: Certmonger) -> None:
    repository = repository_of(certmonger)
    name = create_request(repository, tracked("known", certmonger.root), NOW)
    repository.histories.append(name, [HistoryEntry(at=NOW, event="begin", state="MONITORING")])
    history = repository.histories.path(name)
    # Were it read, there would be a second request.
    history.write_text(repository.request_path(name).read_text().replace("id=known", "id=read by mistake"))
    content = history.read_bytes()
    certmonger.start()

    assert certmonger.listed() == {"known": "MONITORING"}
    assert certmonger.getcert("stop-tracking", "-i", "known").returncode == 0
    assert certmonger.listed() == {}
    assert history.read_bytes() == content


def test_a_default_ca_that_we_wrote_does_not_end_certmonger(certmonger: Certmonger) -> None:
    create_ca(repository_of(certmonger), Ca(id=CaName("ours"), is_default=True, external_helper="/bin/false"), NOW)
    certmonger.start()

    assert "CA 'ours':" in certmonger.getcert("list-cas").stdout
    assert certmonger.process is not None
    assert certmonger.process.poll() is None


def test_we_do_not_start_beside_a_running_certmonger(certmonger: Certmonger) -> None:
    repository_of(certmonger)
    certmonger.start()
    assert certmonger.process is not None

    with pytest.raises(InstanceRunning) as caught:
        InstanceLock(certmonger.root / "lock").acquire()

    assert caught.value.pid == certmonger.process.pid
    assert os.stat(certmonger.root / "lock").st_size == 0
