"""`make install` below another root: all is where it belongs and works there, and certmonger's files are left alone."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
HELPERS = sorted(path.name for path in (PROJECT / "helpers" / "certmonger_helpers" / "bin").iterdir())
NAMES = Path("usr/lib/certmonger")
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}


def install(prefix: Path, stage: Path) -> str:
    """Run it; what it says."""
    done = subprocess.run(
        ["make", "-s", "install", f"PREFIX={prefix}", f"DESTDIR={stage}"],
        cwd=PROJECT, env=ENVIRONMENT, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The prefix, and a stage where certmonger has one of its helpers; installed twice."""
    prefix, stage = tmp_path_factory.mktemp("place") / "certmongerd", tmp_path_factory.mktemp("stage")
    (stage / NAMES).mkdir(parents=True)
    (stage / NAMES / "ipa-submit").write_text("certmonger's own")
    install(prefix, stage)
    assert "ipa-submit is certmonger's and stays" in install(prefix, stage)
    return prefix, stage


def test_names_that_others_start_lead_to_this_projects_helpers(places: tuple[Path, Path]) -> None:
    prefix, stage = places
    for name in (*HELPERS, "certmonger-session"):
        path = stage / NAMES / name
        if name == "ipa-submit":
            assert path.read_text() == "certmonger's own"
        else:
            target = path.readlink()
            assert target.is_relative_to(prefix)
            assert os.access(stage / target.relative_to("/"), os.X_OK)
    assert not (stage / "usr/libexec").exists()


def test_nothing_names_the_stage(places: tuple[Path, Path]) -> None:
    prefix, stage = places
    staged = stage / prefix.relative_to("/")
    for path in [*(staged / "bin").iterdir(), staged / "pyvenv.cfg", *(stage / "etc").rglob("*")]:
        if path.is_file() and not path.is_symlink():
            assert str(stage).encode() not in path.read_bytes(), path


def test_what_was_staged_works_in_its_place(places: tuple[Path, Path]) -> None:
    prefix, stage = places
    shutil.copytree(stage / prefix.relative_to("/"), prefix, symlinks=True)
    for name, product in (("dogtag-submit", "Dogtag"), ("acme-submit", "ACME"), ("est-submit", "EST")):
        done = subprocess.run(
            [stage / NAMES / name],
            env={"PATH": "/usr/bin:/bin", "CERTMONGER_OPERATION": "IDENTIFY"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stdout.startswith(f"{product} (certmongerd "), done.stdout + done.stderr
    imported = "import acme, josepy, pkcs11, prometheus_client"
    subprocess.run([prefix / "bin" / "python", "-I", "-c", imported], check=True, timeout=60)
    version = subprocess.run(
        [stage / NAMES / "certmonger-session", "-v"], capture_output=True, text=True, timeout=60, check=True
    )
    assert version.stdout.startswith("certmongerd ")


def test_a_place_that_is_no_path_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [PROJECT / "scripts" / "install.sh", "here", tmp_path],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "PREFIX" in done.stderr
