"""Each kind of key: made, kept, described, and signing requests and certificates with it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from certmongerd.core.errors import InvalidValue
from certmongerd.core.model import FIXED_KEY_SIZES, KeyAlgorithm, Template
from certmongerd.pki import der, ml_dsa
from certmongerd.pki.csr import build_csr, build_spkac
from certmongerd.pki.issue import parse_request, self_signed
from certmongerd.pki.keys import (
    PrivateKey,
    dump_private_key,
    generate_private_key,
    key_facts,
    load_private_key,
    public_key_facts,
    sign,
    spki_of_key,
    supported_algorithms,
)
from certmongerd.pki.pem import encode_pem, pem_blocks

NEW = tuple(FIXED_KEY_SIZES)
OIDS = {
    KeyAlgorithm.ED25519: "1.3.101.112",
    KeyAlgorithm.ML_DSA_44: "2.16.840.1.101.3.4.3.17",
    KeyAlgorithm.ML_DSA_65: "2.16.840.1.101.3.4.3.18",
    KeyAlgorithm.ML_DSA_87: "2.16.840.1.101.3.4.3.19",
}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=NEW, ids=lambda algorithm: algorithm.value)
def algorithm(request: pytest.FixtureRequest) -> KeyAlgorithm:
    assert isinstance(request.param, KeyAlgorithm)
    return request.param


@pytest.fixture
def key(algorithm: KeyAlgorithm) -> PrivateKey:
    return generate_private_key(algorithm, FIXED_KEY_SIZES[algorithm])


def csr(key: PrivateKey) -> str:
    template = Template(subject="CN=www.example.org", hostname=("www.example.org",))
    return build_csr(template, key, digest="sha256", friendly_name="web", default_subject="localhost")


@pytest.mark.parametrize("pin", [None, "four words"])
def test_a_key_is_read_as_it_was_kept(key: PrivateKey, pin: str | None) -> None:
    again = load_private_key(dump_private_key(key, pin, "aes256"), pin)

    assert spki_of_key(again) == spki_of_key(key)


def test_a_key_is_described_as_what_it_is(key: PrivateKey, algorithm: KeyAlgorithm) -> None:
    facts = key_facts(key)

    assert (facts.algorithm, facts.bits) == (algorithm, FIXED_KEY_SIZES[algorithm])
    assert public_key_facts(facts.spki) == facts


@pytest.mark.parametrize("digest", ["sha256", "sha1"])
def test_the_algorithm_of_a_signature_is_the_keys_own_without_parameters(
    key: PrivateKey, algorithm: KeyAlgorithm, digest: str
) -> None:
    """RFC 8410, section 3, and RFC 9881, section 3; the configured digest has no part in it."""
    request = build_csr(Template(), key, digest=digest, friendly_name="", default_subject="CN=x")

    (block,) = pem_blocks(request)
    _, identifier, _ = der.decode(block.der, der.SEQUENCE).children()
    assert identifier.encoded == der.sequence(der.oid(OIDS[algorithm]))


def test_a_signing_request_proves_possession(key: PrivateKey) -> None:
    assert parse_request(csr(key)).spki == spki_of_key(key)
    assert x509.load_pem_x509_csr(csr(key).encode()).is_signature_valid
    assert build_spkac(key, "challenge", "sha256")


def test_a_signing_request_with_a_wrong_signature_is_refused(key: PrivateKey) -> None:
    (block,) = pem_blocks(csr(key))
    info, identifier, _ = der.decode(block.der, der.SEQUENCE).children()
    forged = der.sequence(info.encoded, identifier.encoded, der.bit_string(sign(key, b"something else", "sha256")))

    with pytest.raises(InvalidValue, match="not signed with the key"):
        parse_request(encode_pem("CERTIFICATE REQUEST", forged))


def test_a_certificate_signed_with_the_key_verifies(key: PrivateKey) -> None:
    certificate = self_signed(csr(key), key, serial=7, not_before=NOW, not_after=NOW + timedelta(days=1))

    certificate.verify_directly_issued_by(certificate)
    assert certificate.public_key() == key.public_key()


@pytest.fixture
def without_ml_dsa(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As with a release of cryptography from before it had these keys."""
    monkeypatch.setattr(ml_dsa, "mldsa", None)
    ml_dsa.has_ml_dsa.cache_clear()
    yield
    monkeypatch.undo()
    ml_dsa.has_ml_dsa.cache_clear()


@pytest.mark.usefixtures("without_ml_dsa")
def test_what_the_library_cannot_make_is_not_offered_and_refused_by_name() -> None:
    assert supported_algorithms() == (KeyAlgorithm.RSA, KeyAlgorithm.EC, KeyAlgorithm.ED25519)
    with pytest.raises(InvalidValue, match="cryptography has no ML-DSA-44 keys"):
        generate_private_key(KeyAlgorithm.ML_DSA_44, 0)


def test_everything_is_offered_where_the_library_can() -> None:
    assert set(supported_algorithms()) == set(KeyAlgorithm)
