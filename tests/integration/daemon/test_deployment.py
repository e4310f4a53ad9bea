"""Commands around saving, and the question whether the service presents what was saved, with a real TLS service."""

import asyncio
import shutil
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer

import pytest
from certmonger_under_test import Certmonger
from daemon_under_test import DaemonUnderTest
from fakes import starttls_services

LIMIT_S = 60.0


class _Handler(BaseRequestHandler):
    server: "_Server"

    def handle(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.server.place / "served.crt", self.server.place / "served.key")
            context.wrap_socket(self.request, server_side=True).close()
        except OSError:  # no certificate yet, or the client has seen enough
            return


class _Server(ThreadingTCPServer):
    daemon_threads = False
    allow_reuse_address = True

    def __init__(self, place: Path) -> None:
        self.place = place
        super().__init__(("127.0.0.1", 0), _Handler)


@dataclass
class Service:
    """A TLS service that has the certificate that was copied to it last."""

    place: Path
    server: _Server = field(init=False)

    def __post_init__(self) -> None:
        self.server = _Server(self.place)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    place = tmp_path / "service"
    place.mkdir()
    running = Service(place)
    yield running
    running.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_failed_post_save_command_shows_everywhere_until_it_works(daemon: DaemonUnderTest, tmp_path: Path) -> None:
    command = script(tmp_path / "reload", f"[ -e {tmp_path}/works ] || {{ echo service is down >&2; exit 3; }}")
    done = daemon.request("hooked", "-C", command, ca="SelfSign")
    assert done.returncode == 4, done.stdout
    shown = daemon.listing("hooked")
    assert (shown["status"], shown["stuck"]) == ("MONITORING", "yes")
    assert "post-save command failed" in shown["ca-error"]
    assert "service is down" in shown["ca-error"]
    assert daemon.getcert("status", "-i", "hooked").returncode == 4
    why = daemon.getcert("why", "-i", "hooked").stdout
    assert "deployment: failed 1 times in a row; tried again at " in why
    assert "getcert refresh -i hooked" in why
    (tmp_path / "works").touch()
    assert "being refreshed" in daemon.getcert("refresh", "-i", "hooked").stdout
    until(lambda: daemon.listing("hooked")["stuck"] == "no")
    assert "ca-error" not in daemon.listing("hooked")
    assert daemon.getcert("status", "-i", "hooked").returncode == 0


def test_a_failed_deployment_survives_a_restart_and_certmonger_is_not_disturbed_by_it(tmp_path: Path) -> None:
    daemon = DaemonUnderTest(tmp_path)
    try:
        daemon.start()
        assert daemon.request("hooked", "-C", "/bin/false", "--probe", "127.0.0.1:1", ca="SelfSign").returncode == 4
        daemon.stop()
        theirs = Certmonger(tmp_path)
        try:
            copy = tmp_path / "copy"
            shutil.copytree(tmp_path / "requests", copy)
            theirs.start()
            assert theirs.listed() == {"hooked": "MONITORING"}
        finally:
            theirs.stop()
        for path in copy.iterdir():
            shutil.copy(path, tmp_path / "requests" / path.name)
        daemon.start()
        until(lambda: daemon.listing("hooked")["stuck"] == "yes")
        assert daemon.listing("hooked")["probe"] == "127.0.0.1:1"
    finally:
        daemon.close()


def test_a_service_is_asked_for_the_certificate_that_was_saved(
    daemon: DaemonUnderTest, service: Service, tmp_path: Path
) -> None:
    certificate, key = daemon.certs / "probed.crt", daemon.certs / "probed.key"
    copy = f"cp {key} {service.place}/served.key && cp {certificate} {service.place}/served.crt"
    command = script(tmp_path / "reload", f"[ -e {tmp_path}/lazy ] || {{ {copy}; }}")
    done = daemon.request("probed", "-C", command, "--probe", service.address, ca="SelfSign")
    assert done.returncode == 0, done.stdout + daemon.log.read_text()[-2000:]
    assert daemon.listing("probed")["probe"] == service.address
    assert f"deployment: {service.address} presents the certificate" in daemon.getcert("why", "-i", "probed").stdout

    (tmp_path / "lazy").touch()  # the command says it did its work, and did not
    done = daemon.getcert("resubmit", "-i", "probed", "-w")
    assert done.returncode == 4, done.stdout
    assert "presents another certificate than the one that was stored" in daemon.listing("probed")["ca-error"]
    (tmp_path / "lazy").unlink()
    assert "being refreshed" in daemon.getcert("refresh", "-i", "probed").stdout
    until(lambda: daemon.listing("probed")["stuck"] == "no")


@contextmanager
def services_with_starttls(place: Path) -> Iterator[dict[str, int]]:
    """Services that present what is in *place*, and their ports by protocol."""

    def context() -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(place / "served.crt", place / "served.key")
        return made

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    serving = starttls_services.serving(context)
    try:
        yield asyncio.run_coroutine_threadsafe(serving.__aenter__(), loop).result(LIMIT_S)
        asyncio.run_coroutine_threadsafe(serving.__aexit__(None, None, None), loop).result(LIMIT_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_services_with_starttls_are_asked_in_their_own_protocols(daemon: DaemonUnderTest, tmp_path: Path) -> None:
    place = tmp_path / "mail"
    place.mkdir()
    certificate, key = daemon.certs / "mail.crt", daemon.certs / "mail.key"
    command = script(tmp_path / "reload", f"cp {key} {place}/served.key && cp {certificate} {place}/served.crt")
    assert daemon.request("mail", "-C", command, ca="SelfSign").returncode == 0
    with services_with_starttls(place) as ports:
        for name, port in ports.items():
            probe = f"{name}://127.0.0.1:{port}"
            done = daemon.getcert("resubmit", "-i", "mail", "-w", "--probe", probe)
            assert done.returncode == 0, done.stdout + daemon.listing("mail").get("ca-error", "")
            assert f"deployment: {probe} presents the certificate" in daemon.getcert("why", "-i", "mail").stdout


def test_a_probe_is_added_changed_and_dropped_and_nonsense_refused(daemon: DaemonUnderTest, service: Service) -> None:
    assert daemon.request("later", ca="SelfSign").returncode == 0
    shutil.copy(daemon.certs / "later.crt", service.place / "served.crt")
    shutil.copy(daemon.certs / "later.key", service.place / "served.key")
    changed = daemon.getcert("start-tracking", "-i", "later", "--probe", service.address)
    assert changed.returncode == 0, changed.stdout
    assert daemon.listing("later")["probe"] == service.address
    refused = daemon.getcert("start-tracking", "-i", "later", "--probe", "nonsense")
    assert refused.returncode == 1
    assert "HOST:PORT" in refused.stdout
    assert daemon.getcert("start-tracking", "-i", "later", "--probe", "").returncode == 0
    assert "probe" not in daemon.listing("later")


def test_a_failing_pre_save_command_is_told_of_while_it_is_tried_again(daemon: DaemonUnderTest) -> None:
    files = ["-f", str(daemon.certs / "stopped.crt"), "-k", str(daemon.certs / "stopped.key")]
    assert daemon.getcert("request", "-I", "stopped", "-c", "SelfSign", *files, "-B", "/bin/false").returncode == 0
    until(lambda: daemon.listing("stopped")["status"] == "NEED_TO_SAVE_CERT")
    assert "pre-save command failed" in daemon.listing("stopped")["ca-error"]
    assert daemon.listing("stopped")["next attempt"]
