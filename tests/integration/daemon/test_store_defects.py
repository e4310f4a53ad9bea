"""What certmonger does wrong with what it stores; the others have their tests where docs/certmonger-defects.md says."""

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from daemon_under_test import DaemonUnderTest, openssl

MakeDaemon = Callable[..., DaemonUnderTest]
_IN_MOVED_TO = 0x80
_IN_CLOSE_WRITE = 0x08
_EVENT_BYTES = 16
_LIBC = ctypes.CDLL(None, use_errno=True)


def test_a_certificate_that_is_adopted_is_renewed_with_all_that_is_in_it(daemon: DaemonUnderTest) -> None:
    certificate, key = daemon.certs / "adopted.crt", daemon.certs / "adopted.key"
    extensions = (
        "subjectAltName=IP:192.0.2.1,IP:2001:db8::1,DNS:a.example.org",
        "basicConstraints=critical,CA:TRUE,pathlen:2",
        "keyUsage=critical,keyCertSign,cRLSign",
        "crlDistributionPoints=URI:http://crl.example.org/a",
        "authorityInfoAccess=OCSP;URI:http://ocsp.example.org/",
    )
    options = [word for extension in extensions for word in ("-addext", extension)]
    subject = ("-subj", "/CN=adopted", "-days", "30")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-noenc", "-keyout", key, "-out", certificate, *subject, *options)
    first = x509.load_pem_x509_certificate(certificate.read_bytes())
    places = ("-f", certificate, "-k", key)
    assert daemon.getcert("start-tracking", "-I", "adopted", "-c", "SelfSign", *places).returncode == 0
    daemon.wait_for("adopted")
    assert daemon.getcert("resubmit", "-i", "adopted", "-w").returncode == 0
    renewed = x509.load_pem_x509_certificate(certificate.read_bytes())
    assert renewed.serial_number != first.serial_number
    for kind in (
        x509.SubjectAlternativeName,
        x509.BasicConstraints,
        x509.KeyUsage,
        x509.CRLDistributionPoints,
        x509.AuthorityInformationAccess,
    ):
        before, after = (found.extensions.get_extension_for_class(kind).value for found in (first, renewed))
        if isinstance(before, x509.SubjectAlternativeName) and isinstance(after, x509.SubjectAlternativeName):
            assert sorted(map(str, after)) == sorted(map(str, before))
        else:
            assert after == before


@contextmanager
def counting_writes(folder: Path) -> Iterator[Callable[[], int]]:
    """How many files were written or replaced in *folder* since."""
    descriptor = _LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert descriptor >= 0
    assert _LIBC.inotify_add_watch(descriptor, os.fsencode(folder), _IN_MOVED_TO | _IN_CLOSE_WRITE) >= 0

    def count() -> int:
        events = 0
        try:
            while True:
                data = os.read(descriptor, 1 << 16)
                while data:
                    events += bool(int.from_bytes(data[4:8], "little") & _IN_MOVED_TO)
                    data = data[_EVENT_BYTES + int.from_bytes(data[12:16], "little") :]
        except BlockingIOError:
            return events

    try:
        yield count
    finally:
        os.close(descriptor)


def test_a_state_file_is_written_when_there_is_something_to_keep_and_not_at_each_step(make_daemon: MakeDaemon) -> None:
    """certmonger rewrites a request's file about thirty times for an enrolment, each CA's at every start."""
    daemon = make_daemon()
    daemon.start()
    assert daemon.request("warm", ca="local").returncode == 0
    with counting_writes(daemon.root / "requests") as written:
        assert daemon.request("it", ca="local").returncode == 0
        assert 1 <= written() <= 8
        daemon.stop()
        written()
        with counting_writes(daemon.root / "cas") as cas_written:
            daemon.start()
            daemon.wait_for("it")
            assert daemon.getcert("refresh-ca", "-a").returncode == 0
            daemon.stop()
            assert cas_written() == 0
        assert written() <= 2
