import subprocess
import sys

import pytest

from getcert.main import COMMANDS

HEAVY = ("asyncio", "cryptography", "asn1crypto", "aiohttp", "yaml", "subprocess")


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_command_starts_without_the_slow_libraries(verb: str) -> None:
    program = (
        "import sys\n"
        "from getcert.main import run\n"
        f"run('getcert', ['{verb}', '--help'], {{}})\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)\n"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stderr == "[]\n"
