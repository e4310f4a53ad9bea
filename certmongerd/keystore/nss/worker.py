"""The worker processes for NSS databases."""

from typing import Final

from certmongerd.keystore.worker import Worker

WORKER: Final = Worker("certmongerd.keystore.nss.process", time_limit_s=300)
"""The limit is for what hangs; generating the largest RSA keys takes minutes."""
