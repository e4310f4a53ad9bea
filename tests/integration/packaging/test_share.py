"""What is installed beside the programs is where shells look for it."""

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("share")
    subprocess.run([PROJECT / "scripts" / "share.sh", sys.executable, folder, "zsh/site-functions"], check=True)
    return folder


def test_fish_finds_completion_of_every_name_by_itself(share: Path, tmp_path: Path) -> None:
    for program in ("getcert", "ipa-getcert"):
        done = subprocess.run(
            ["fish", "-c", f"complete -C '{program} stop'"],
            env={"XDG_DATA_DIRS": f"{share}:/usr/share", "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith("stop-tracking\t"), done.stderr


def test_zsh_loads_completion_from_its_path(share: Path, tmp_path: Path) -> None:
    program = (
        f"fpath=({share}/zsh/site-functions $fpath); autoload -Uz compinit; compinit -u -D; print $_comps[ipa-getcert]"
    )
    done = subprocess.run(
        ["zsh", "-f", "-c", program], env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "_getcert\n"


def test_bash_completes_what_it_loads_from_the_folder(share: Path) -> None:
    for name in ("getcert", "ipa-getcert"):
        program = f'source "{share}/bash-completion/completions/{name}"; complete -p {name}'
        done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout == f"complete -F _getcert {name}\n"
