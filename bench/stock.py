"""Many tracked certificates, made quickly: each with a key, names and a serial number of its own.

Generating ten thousand RSA keys takes minutes. Each pair out of 150 primes is a key too, and as real: a daemon reads
it, and memory that depends on what differs between certificates is measured rightly.
"""

import itertools
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from rig import MeasurementFailed, daemon_environment, new_folder, programs, started

from certmongerd.core.ids import Nickname
from certmongerd.core.model import Request
from certmongerd.pki.certs import certificate_facts, parsed, to_pem
from certmongerd.pki.csr import build_csr, build_spkac
from certmongerd.pki.issue import Extension, Issuer, issue_certificate, key_identifier, parse_request
from certmongerd.pki.keys import PrivateKey, dump_private_key, generate_private_key, spki_of_key
from certmongerd.store.format import parse, render
from certmongerd.store.requests import read_request, write_request

_FOLDER: Final = "@certificates@"
"""Stands for the folder of keys and certificates until it is known."""
_PART: Final = 250
_EXPONENT: Final = 65537

Item = tuple[bytes, bytes, bytes]
"""State file, key and certificate."""


def make_stock(count: int) -> list[Item]:
    """*count* entries as this project's daemon leaves them when its CA "local" has issued a certificate."""
    template = _issue_template(new_folder("stock-"))
    keys = [generate_private_key(template.key.gen_type, template.key.gen_size) for _ in range(_keys_for(count))]
    primes = [prime for key in keys if isinstance(key, rsa.RSAPrivateKey) for prime in _primes(key)]
    pairs = list(itertools.islice(itertools.combinations(primes, 2), count))
    parts = [pairs[start : start + _PART] for start in range(0, count, _PART)]
    with ProcessPoolExecutor(min(os.cpu_count() or 1, len(parts))) as pool:
        made = pool.map(partial(_make_part, template), range(0, count, _PART), parts)
        return [item for part in made for item in part]


def put_stock(stock: list[Item], root: Path) -> None:
    """Lay the entries below *root*, where a daemon that uses it finds them, durably."""
    daemon_environment(root, None)
    folder = root / "certificates"
    folder.mkdir()
    for number, (state, key, certificate) in enumerate(stock):
        second = f"2026010{1 + number // 86400}{number // 3600 % 24:02}{number // 60 % 60:02}{number % 60:02}"
        (root / "requests" / second).write_bytes(state.replace(_FOLDER.encode(), os.fsencode(folder)))
        (folder / f"{nickname(number)}.key").write_bytes(key)
        (folder / f"{nickname(number)}.crt").write_bytes(certificate)
    os.sync()


def nickname(number: int) -> str:
    """What an entry is called."""
    return f"bench-{number:05}"


def _issue_template(root: Path) -> Request:
    """One request, as it is on disk after its certificate was issued."""
    folder = root / "certificates"
    folder.mkdir()
    with started("certmongerd", transport="peer", root=root) as rig:
        argv = [str(Path(programs()["certmongerd"]).with_name("getcert")), "request", "-c", "local", "-I", "template"]
        argv += ["-N", "CN=template.example.com", "-D", "template.example.com", "-G", "RSA", "-g", "2048", "-w"]
        argv += ["-f", str(folder / "template.crt"), "-k", str(folder / "template.key")]
        environment = daemon_environment(root, None) | {"CERTMONGER_PVT_ADDRESS": rig.address}
        finished = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        if finished.returncode:
            raise MeasurementFailed(f"the certificate to copy was not issued: {finished.stdout}")
    (file,) = (path for path in (root / "requests").iterdir() if not path.name.startswith("."))
    request, _ = read_request(parse(file.read_bytes()))
    return request


def _keys_for(count: int) -> int:
    """Of how many keys the primes make *count* pairs."""
    return next(keys for keys in itertools.count(1) if 2 * keys * (2 * keys - 1) // 2 >= count)


def _primes(key: rsa.RSAPrivateKey) -> tuple[int, int]:
    numbers = key.private_numbers()
    return numbers.p, numbers.q


def _make_part(template: Request, start: int, pairs: list[tuple[int, int]]) -> list[Item]:
    issuer_key = generate_private_key(template.key.gen_type, template.key.gen_size)
    issuer = Issuer(
        name_der=template.cert_facts.issuer_der,
        key=issuer_key,
        identifier=key_identifier(spki_of_key(issuer_key)),
    )
    return list(_items(template, issuer, start, pairs))


def _items(template: Request, issuer: Issuer, start: int, pairs: list[tuple[int, int]]) -> Iterator[Item]:
    begin = datetime.now(UTC).replace(microsecond=0)
    serial = int(template.cert_facts.serial, 16)
    for number, primes in enumerate(pairs, start):
        name, key = nickname(number), _key_of(*primes)
        host = f"{name}.example.com"
        wanted = replace(template.template, subject=f"CN={host}", hostname=(host,))
        csr = build_csr(wanted, key, digest="sha256", friendly_name=name, default_subject=host)
        asked = parse_request(csr)
        extensions: tuple[Extension, ...] = asked.extensions
        certificate = issue_certificate(
            subject_der=asked.subject_der,
            spki=asked.spki,
            extensions=extensions,
            issuer=issuer,
            serial=serial + number,
            not_before=begin,
            not_after=begin + timedelta(days=365),
        )
        pem = to_pem(certificate)
        request = replace(
            template,
            id=Nickname(name),
            key=replace(template.key, pubkey_info=asked.spki),
            key_storage=replace(template.key_storage, location=f"{_FOLDER}/{name}.key"),
            cert_storage=replace(template.cert_storage, location=f"{_FOLDER}/{name}.crt"),
            cert_facts=certificate_facts(parsed(certificate)),
            template=wanted,
            csr=csr,
            spkac=build_spkac(key, "", "sha256"),
            cert=pem,
        )
        yield render(write_request(request)), dump_private_key(key, None, ""), pem.encode()


def _key_of(p: int, q: int) -> PrivateKey:
    d = pow(_EXPONENT, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(_EXPONENT, p * q)
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), public
    )
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)
