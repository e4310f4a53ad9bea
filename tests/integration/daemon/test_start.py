"""What a daemon loads at its start."""

import subprocess
import sys

RARELY_NEEDED = ("aiohttp", "asn1crypto", "http.client", "prometheus_client", "xml", "yaml")


def test_the_daemon_starts_without_libraries_that_few_need() -> None:
    program = f"import sys, certmongerd.app\nprint(sorted(set({RARELY_NEEDED!r}) & set(sys.modules)))"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout == "[]\n"
