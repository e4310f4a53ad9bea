"""The whole way through a real SCEP server: messages, helper as a process, decryption."""

import os
import secrets
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from scep_material import pem, rsa_key, signing_request

from certmongerd.core.ids import CaName
from certmongerd.core.model import Ca, ScepMessages
from certmongerd.scep.client import ScepInputs, build_messages, decrypt_reply


class Server(Protocol):
    """What the fixture gives."""

    @property
    def url(self) -> str: ...
    @property
    def challenge(self) -> str: ...


def run_helper(server: Server, operation: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    environment = {"CERTMONGER_OPERATION": operation, "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    environment.update({f"CERTMONGER_{name}": value for name, value in variables.items() if value})
    return subprocess.run(
        [sys.executable, "-m", "certmonger_helpers.scep_submit", "-u", server.url],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )


def discover(server: Server) -> Ca:
    """What the daemon would store of the server."""
    words = run_helper(server, "FETCH-SCEP-CA-CAPS")
    certificates = run_helper(server, "FETCH-SCEP-CA-CERTS")
    assert (words.returncode, certificates.returncode) == (0, 0), (words, certificates)
    return Ca(
        id=CaName("micromdm"),
        capabilities=tuple(words.stdout.decode().split()),
        encryption_cert=certificates.stdout.decode(),
    )


def messages_for(
    ca: Ca,
    csr: str,
    key: rsa.RSAPrivateKey,
    *,
    key_next: rsa.RSAPrivateKey | None = None,
    held: x509.Certificate | None = None,
    old: ScepMessages | None = None,
) -> ScepMessages:
    return build_messages(
        ScepInputs(
            csr=csr,
            ca=ca,
            key=key,
            key_next=key_next,
            certificate="" if held is None else pem(held),
            old=old or ScepMessages(),
            now=datetime.now(UTC),
            nonce=secrets.token_bytes(16),
            random_bytes=secrets.token_bytes,
        )
    )


def submit(server: Server, ca: Ca, messages: ScepMessages) -> subprocess.CompletedProcess[bytes]:
    return run_helper(
        server,
        "SUBMIT",
        SCEP_RA_CERTIFICATE=ca.encryption_cert,
        PKCSREQ=messages.req,
        PKCSREQ_REKEY=messages.req_next,
        GETCERTINITIAL=messages.gic,
        GETCERTINITIAL_REKEY=messages.gic_next,
    )


def enrol(server: Server, ca: Ca, key: rsa.RSAPrivateKey) -> tuple[x509.Certificate, ScepMessages]:
    messages = messages_for(ca, signing_request(key, challenge=server.challenge), key)
    finished = submit(server, ca, messages)
    assert finished.returncode == 0, finished
    return decrypt_reply(finished.stdout, [(key, [x509.load_der_x509_certificate(messages.minicert)])])[0], messages


def test_a_certificate_is_issued_on_the_servers_defaults_with_nothing_given_by_hand(scepserver: Server) -> None:
    ca = discover(scepserver)
    key = rsa_key("first")

    issued, _ = enrol(scepserver, ca, key)

    assert issued.public_key() == key.public_key()
    assert issued.subject.rfc4514_string() == "CN=client.example.org"


def test_a_wrong_challenge_is_a_rejection_that_says_so(scepserver: Server) -> None:
    ca = discover(scepserver)
    key = rsa_key("rejected")

    finished = submit(scepserver, ca, messages_for(ca, signing_request(key, challenge="wrong"), key))

    assert finished.returncode == 2
    assert b"badRequest" in finished.stdout


def test_a_renewal_signed_with_the_issued_certificate_makes_another_one(renewing_scepserver: Server) -> None:
    ca = discover(renewing_scepserver)
    key = rsa_key("renewed")
    issued, first = enrol(renewing_scepserver, ca, key)

    second = messages_for(
        ca, signing_request(key, challenge=renewing_scepserver.challenge), key, held=issued, old=first
    )
    finished = submit(renewing_scepserver, ca, second)

    assert finished.returncode == 0, finished
    renewed = decrypt_reply(finished.stdout, [(key, [issued])])[0]
    assert renewed.serial_number != issued.serial_number
    assert renewed.public_key() == key.public_key()
    assert second.tx != first.tx


def test_a_rekey_signed_with_the_old_key_is_answered_to_the_old_key(renewing_scepserver: Server) -> None:
    ca = discover(renewing_scepserver)
    old_key, new_key = rsa_key("old"), rsa_key("new")
    issued, first = enrol(renewing_scepserver, ca, old_key)

    csr = signing_request(new_key, challenge=renewing_scepserver.challenge)
    messages = messages_for(ca, csr, old_key, key_next=new_key, held=issued, old=first)
    finished = submit(renewing_scepserver, ca, messages)

    assert finished.returncode == 0, finished
    minicert = x509.load_der_x509_certificate(messages.minicert)
    rekeyed = decrypt_reply(finished.stdout, [(old_key, [issued]), (new_key, [minicert])])[0]
    assert rekeyed.public_key() == new_key.public_key()


def test_every_cipher_and_digest_that_the_server_knows_is_understood(renewing_scepserver: Server) -> None:
    ca = discover(renewing_scepserver)
    outcomes = {}
    for cipher, digest in (("DES", "SHA1"), ("DES3", "SHA256"), ("AES128", "SHA384"), ("AES256", "SHA512")):
        key = rsa_key(f"{cipher}-{digest}")
        enrol(renewing_scepserver, replace(ca, scep_cipher=cipher, scep_digest=digest), key)
        outcomes[cipher] = digest
    assert len(outcomes) == 4


def test_a_poll_that_the_server_does_not_implement_can_be_tried_again_later(scepserver: Server) -> None:
    ca = discover(scepserver)
    key = rsa_key("poll")
    messages = messages_for(ca, signing_request(key, challenge=scepserver.challenge), key)

    finished = run_helper(
        scepserver, "POLL", SCEP_RA_CERTIFICATE=ca.encryption_cert, GETCERTINITIAL=messages.gic, CA_COOKIE="waiting"
    )

    assert finished.returncode == 3
    assert b"HTTP 500" in finished.stdout
