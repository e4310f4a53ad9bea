"""Samples of everything that can happen to a request, of requests, and of their surroundings."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from fakes.request_world import (
    NOW,
    OLD_SPKI,
    PLAIN_CA,
    SCEP_CA,
    facts,
    fresh_messages,
    monitored,
    new_request,
    with_candidate,
    with_known_key,
)

from certmongerd.core.effects import (
    AskRenewalInfo,
    BuildCsr,
    BuildScep,
    Effect,
    GenerateKey,
    Notify,
    ReadCert,
    ReadKey,
    RunPostSave,
    RunPreSave,
    SaveCaCerts,
    SaveCert,
    Submit,
)
from certmongerd.core.errors import FailureKind
from certmongerd.core.events import (
    Begin,
    CaCertsSaved,
    CaChanged,
    CertAbsent,
    CertRead,
    CertSaved,
    Continue,
    CsrBuilt,
    Event,
    Failed,
    HookEnded,
    HookFailed,
    Impossible,
    Issued,
    KeyAbsent,
    KeyGenerated,
    KeyRead,
    NeedKeyPair,
    NeedScepMessages,
    Notified,
    Refresh,
    Rejected,
    Rekey,
    RenewalInfo,
    Resubmit,
    ScepBuilt,
    ScepImpossible,
    ScepObstacle,
    TimerFired,
    Unconfigured,
    Unreachable,
    Unusable,
    Working,
)
from certmongerd.core.ids import CaName
from certmongerd.core.model import CaCertLocations, Hook, KeyAlgorithm, KeyStorage, NamedCertificate, Request
from certmongerd.core.step import Context, Policy

ROOTS_CA: Final = replace(PLAIN_CA, id=CaName("roots"), root_certs=(NamedCertificate(nickname="root", pem="ROOT"),))
ADVISING_CA: Final = replace(PLAIN_CA, id=CaName("advising"), offers_renewal_info=True)
CAS: Final = (PLAIN_CA, SCEP_CA, ROOTS_CA)

FAILURES: Final[tuple[Event, ...]] = tuple(Failed(kind, "no luck") for kind in FailureKind)
KEY_READ: Final = KeyRead(type=KeyAlgorithm.RSA, size=2048, pubkey_info=OLD_SPKI)
READ_KEY_RESULTS: Final[tuple[Event, ...]] = (KEY_READ, KeyAbsent(), *FAILURES)
READ_CERT_RESULTS: Final[tuple[Event, ...]] = (
    CertRead(cert="PEM 1", facts=facts()),
    CertRead(cert="PEM old", facts=facts(NOW - timedelta(days=400))),
    CertAbsent(),
    *FAILURES,
)
GENERATE_RESULTS: Final[tuple[Event, ...]] = (
    KeyGenerated(type=KeyAlgorithm.EC, size=256, pubkey_info=b"made", marker=""),
    KeyGenerated(type=KeyAlgorithm.RSA, size=2048, pubkey_info=b"made", marker="AbCdEfGh"),
    *FAILURES,
)
SUBMIT_RESULTS: Final[tuple[Event, ...]] = (
    Issued(cert="PEM 2", spki=OLD_SPKI),
    Issued(cert="PEM 1", spki=OLD_SPKI),
    Issued(cert="PEM 2", spki=b"a stranger's"),
    Working(cookie="cookie"),
    Working(cookie="", delay=timedelta(seconds=7)),
    Rejected("no"),
    Unreachable("no route"),
    Unconfigured("no settings"),
    Unusable("gibberish"),
    NeedScepMessages(were_given=False),
    NeedScepMessages(were_given=True),
    NeedKeyPair(),
    Impossible("no way"),
    KeyAbsent(),
    *FAILURES,
)
RESULTS: Final[Mapping[type[Effect], tuple[Event, ...]]] = {
    ReadKey: READ_KEY_RESULTS,
    ReadCert: READ_CERT_RESULTS,
    GenerateKey: GENERATE_RESULTS,
    BuildCsr: (CsrBuilt(csr="CSR", spkac="SPKAC"), KeyAbsent(), Impossible("bad subject"), *FAILURES),
    BuildScep: (
        ScepBuilt(messages=fresh_messages()),
        *(ScepImpossible(obstacle=obstacle, reason="no") for obstacle in ScepObstacle),
        KeyAbsent(),
        *FAILURES,
    ),
    Submit: SUBMIT_RESULTS,
    RunPreSave: (HookEnded(), HookFailed("exit status 1"), *FAILURES),
    RunPostSave: (HookEnded(), HookFailed("exit status 1"), *FAILURES),
    SaveCert: (CertSaved(key_swapped=False), CertSaved(key_swapped=True), KeyAbsent(), *FAILURES),
    SaveCaCerts: (CaCertsSaved(), *FAILURES),
    Notify: (Notified(), *FAILURES),
    AskRenewalInfo: (
        RenewalInfo(start=NOW + timedelta(days=3), end=NOW + timedelta(days=5)),
        RenewalInfo(start=NOW - timedelta(days=3), end=NOW - timedelta(days=2), retry_after=timedelta(seconds=1)),
        *FAILURES,
    ),
}
"""Everything that the engine can report of each effect."""

COMMANDS: Final[tuple[Event, ...]] = (Begin(), Resubmit(), Rekey(), Refresh(), CaChanged())
EVENTS: Final[tuple[Event, ...]] = (
    *COMMANDS,
    Continue(),
    TimerFired(),
    *dict.fromkeys(event for results in RESULTS.values() for event in results),
)


def requests() -> Iterator[Request]:
    """Requests of every kind, in no particular state."""
    yield new_request()
    yield replace(new_request(), ca_name=CaName(""))
    yield replace(with_known_key(new_request(SCEP_CA)), scep=fresh_messages(), ca_cookie="cookie", csr="CSR")
    yield monitored()
    yield replace(
        with_candidate(monitored(SCEP_CA)),
        pre_save=Hook(command="/bin/true", uid="0"),
        post_save=Hook(command="/bin/true", uid="0"),
        ca_certs=CaCertLocations(root_files=("/etc/ca.pem",)),
    )
    yield replace(monitored(certificate=facts(NOW - timedelta(days=400))), monitor=False)
    yield replace(new_request(), key_storage=KeyStorage())
    yield replace(monitored(), attempts=10**6, demands=30, autorenew=False)


def contexts() -> Iterator[Context]:
    """Surroundings with different CAs and settings."""
    strict = Policy(
        max_key_use_count=1,
        key_expires_at=lambda made: made + timedelta(days=1),
        challenge_password_otp=True,
        default_ca=CaName("plain"),
    )
    for ca, policy, marker in (
        (None, strict, ""),
        (ADVISING_CA, Policy(), "IjKlMnOp"),
        (PLAIN_CA, Policy(), "IjKlMnOp"),
        (SCEP_CA, strict, "IjKlMnOp"),
    ):
        yield Context(now=NOW, policy=policy, ca=ca, cas=CAS, new_marker=marker)


CONTEXTS: Final = tuple(contexts())
