"""What no daemon can be faster than: making keys and signing, with all cores, and nothing else."""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta

from certmongerd.core.model import KeyAlgorithm, Template
from certmongerd.pki.certs import to_pem
from certmongerd.pki.csr import build_csr
from certmongerd.pki.issue import self_signed
from certmongerd.pki.keys import dump_private_key, generate_private_key


def bare_rate(count: int, key: str) -> float:
    """Keys made, and certificates signed with them for a signing request, per second, by one process per core."""
    algorithm, _, bits = key.partition(":")
    workers = os.cpu_count() or 1
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(_enrol, [(algorithm, int(bits), 1)] * workers))  # so that the processes are there
        began = time.monotonic()
        list(pool.map(_enrol, [(algorithm, int(bits), len(part)) for part in _parts(count, workers)]))
        return count / (time.monotonic() - began)


def _parts(count: int, workers: int) -> list[range]:
    return [range(start, count, 4 * workers) for start in range(min(count, 4 * workers))]


def _enrol(job: tuple[str, int, int]) -> None:
    algorithm, bits, count = job
    now = datetime.now(UTC)
    for number in range(1, count + 1):
        key = generate_private_key(KeyAlgorithm(algorithm), bits)
        dump_private_key(key, None, "")
        csr = build_csr(Template(subject="CN=host"), key, digest="sha256", friendly_name="", default_subject="host")
        to_pem(self_signed(csr, key, serial=number, not_before=now, not_after=now + timedelta(days=365)))
