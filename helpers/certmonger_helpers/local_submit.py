"""local-submit: the CA that lives in a directory of this machine."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from certmonger_helpers.authority import NAME, Authority
from certmonger_helpers.credentials import Credentials, decode_credentials, encode_credentials
from certmonger_helpers.protocol import (
    Helper,
    HelperInput,
    Operation,
    Rejected,
    Reply,
    Unconfigured,
    build_parser,
    run,
)
from certmongerd.config.durations import Duration, parse_duration
from certmongerd.config.load import load_settings, parse_settings
from certmongerd.config.paths import CONFIG_FILE_NAME
from certmongerd.core.errors import InvalidValue
from certmongerd.core.model import MINIMUM_RSA_BITS, KeyAlgorithm
from certmongerd.pki.issue import (
    Issuer,
    UnprovenRequest,
    authority_extensions,
    issue_certificate,
    key_identifier,
    parse_request,
)
from certmongerd.pki.keys import spki_of_key

DEFAULT_DIRECTORY: Final = "/var/lib/certmonger/local"
DEFAULT_CONFIG_DIRECTORY: Final = "/etc/certmonger"
_ONE_YEAR: Final = Duration(years=1)
_KEY_TYPES: Final = {"rsa": KeyAlgorithm.RSA, "ec": KeyAlgorithm.EC}
_EC_BITS: Final = (256, 384, 521)
_MAX_RSA_BITS: Final = 16384
_WARM_UP_BITS: Final = 1024
_EMPTY_NAME: Final = b"\x30\x00"


def submit(given: HelperInput, options: argparse.Namespace) -> Reply:
    """Issue a certificate at once; there is nothing to wait for, so polling is the same."""
    csr = given.read_csr(options.csr_file)
    if not csr.strip():
        raise Unconfigured("There is no signing request")
    try:
        request = parse_request(csr)
    except UnprovenRequest as exc:
        raise Rejected(exc.reason) from exc
    except InvalidValue as exc:
        raise Unconfigured(exc.reason) from exc
    certificate = _authority(given, options).issue(request, _now())
    return Reply(output=certificate.public_bytes(Encoding.PEM))


def fetch_roots(given: HelperInput, options: argparse.Namespace) -> Reply:
    """All certificates of the CA, the current one first, as one list."""
    names = (NAME if number == 1 else f"{NAME} {number}" for number in range(1, sys.maxsize))
    certificates = _authority(given, options).certificates(_now())
    pairs = (
        f"{name}\n{certificate.public_bytes(Encoding.PEM).decode('ascii')}"
        for certificate, name in zip(certificates, names, strict=False)
    )
    return Reply(output="".join(pairs))


def required_attributes(given: HelperInput, options: argparse.Namespace) -> Reply:
    """Nothing in particular has to be asked for."""
    del given, options
    return Reply()


def warm_up() -> None:
    """Do once, in memory, what is slow the first time in a process: called before many runs are forked."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=_WARM_UP_BITS)
    spki = spki_of_key(key)
    now = _now()
    certificate = issue_certificate(
        subject_der=_EMPTY_NAME,
        spki=spki,
        extensions=authority_extensions(spki),
        issuer=Issuer(name_der=_EMPTY_NAME, key=key, identifier=key_identifier(spki)),
        serial=1,
        not_before=now,
        not_after=now,
    )
    decode_credentials(encode_credentials(Credentials(key=key, certificates=(certificate,)), NAME))
    for signer in (key, ec.generate_private_key(ec.SECP256R1())):
        csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(signer, SHA256())
        parse_request(csr.public_bytes(Encoding.PEM).decode("ascii"))
    build_parser(HELPER).parse_args([])
    parse_settings("")


def _authority(given: HelperInput, options: argparse.Namespace) -> Authority:
    """The CA as the options say, and certmonger.conf where they say nothing. Raises Unconfigured."""
    settings = load_settings(Path(given.config_dir or DEFAULT_CONFIG_DIRECTORY) / CONFIG_FILE_NAME).settings
    directory = options.ca_data_directory or given.local_ca_dir or DEFAULT_DIRECTORY
    validity = _lifetime(options.validity, "--validity") or settings.local_validity or _ONE_YEAR
    ca_validity = _lifetime(options.ca_validity, "--ca-validity") or settings.local_ca_validity
    key_type = _KEY_TYPES[options.ca_key_type] if options.ca_key_type else settings.local_key_type
    configured = settings.local_ec_key_size if key_type is KeyAlgorithm.EC else settings.local_rsa_key_size
    key_bits = configured if options.ca_key_size is None else options.ca_key_size
    _check_size(key_type, key_bits)
    return Authority(
        directory=Path(directory),
        validity=validity,
        ca_validity=ca_validity or validity,
        key_type=key_type,
        key_bits=key_bits,
        has_unique_ids=settings.selfsign_populate_unique_id,
    )


def _lifetime(text: str, option: str) -> Duration | None:
    """The duration *text*; None for an empty one. Raises Unconfigured for what is none."""
    if not text:
        return None
    try:
        duration = parse_duration(text)
    except InvalidValue as exc:
        raise Unconfigured(f"{option}: {exc.reason}") from exc
    if not duration:
        raise Unconfigured(f"{option}: a certificate has to be valid for some time")
    return duration


def _check_size(key_type: KeyAlgorithm, bits: int) -> None:
    """Raise Unconfigured for a size that keys of *key_type* do not have."""
    if key_type is KeyAlgorithm.EC and bits not in _EC_BITS:
        raise Unconfigured(f"--ca-key-size: EC keys have 256, 384 or 521 bits, not {bits}")
    if key_type is KeyAlgorithm.RSA and not MINIMUM_RSA_BITS <= bits <= _MAX_RSA_BITS:
        raise Unconfigured(f"--ca-key-size: RSA keys have {MINIMUM_RSA_BITS} to {_MAX_RSA_BITS} bits here, not {bits}")


def _now() -> datetime:
    """The time in whole seconds, as certificates have it."""
    return datetime.now(UTC).replace(microsecond=0)


def _add_options(parser: argparse.ArgumentParser) -> None:
    """The command line of certmonger's own helper, and how the CA is to be made."""
    parser.add_argument(
        "-d",
        "--ca-data-directory",
        metavar="DIRECTORY",
        default="",
        help=f"where the CA keeps its key, certificates and serial number (default: {DEFAULT_DIRECTORY})",
    )
    parser.add_argument("--validity", metavar="TIME", default="", help="life of issued certificates, for example 90d")
    parser.add_argument(
        "--ca-validity", metavar="TIME", default="", help="life of the CA's next certificate, for example 10y"
    )
    parser.add_argument(
        "--ca-key-type", metavar="TYPE", type=str.lower, choices=_KEY_TYPES, help="rsa or ec, for the CA's next key"
    )
    parser.add_argument("--ca-key-size", metavar="BITS", type=int, help="size of the CA's next key")
    parser.add_argument("csr_file", metavar="csrfile", nargs="?", help="file with the signing request (PEM)")


HELPER: Final = Helper(
    program="local-submit",
    product=NAME,
    answers={
        Operation.SUBMIT: submit,
        Operation.POLL: submit,
        Operation.FETCH_ROOTS: fetch_roots,
        Operation.GET_NEW_REQUEST_REQUIREMENTS: required_attributes,
    },
    add_options=_add_options,
)


def can_run_again(argv: Sequence[str]) -> bool:
    """Whether a process that has run with *argv* can do so again: a run leaves nothing but the CA's files, as read."""
    del argv
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Run the helper; returns its exit status."""
    return run(HELPER, argv)


if __name__ == "__main__":
    sys.exit(main())
