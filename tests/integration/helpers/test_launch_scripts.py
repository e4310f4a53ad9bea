"""The programs in `bin` find the Python that they belong to, without any environment."""

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Final

import pytest

import certmonger_helpers
import certmongerd

PACKAGE: Final = Path(certmonger_helpers.__file__).parent
ENV: Final = {"PATH": "/usr/bin:/bin", "CERTMONGER_OPERATION": "IDENTIFY"}
ANSWER: Final = "Local Signing Authority (certmongerd "


def identify(program: Path, cwd: str = "/") -> subprocess.CompletedProcess[str]:
    return subprocess.run([program], check=False, env=ENV, cwd=cwd, capture_output=True, text=True, timeout=60)


def copy_packages(site: Path) -> Path:
    """What an installed wheel puts into *site*; the path of the launch script."""
    ignored = shutil.ignore_patterns("__pycache__")
    for package in (PACKAGE, Path(certmongerd.__file__).parent):
        shutil.copytree(package, site / package.name, ignore=ignored)
    return site / PACKAGE.name / "bin" / "local-submit"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the packages in it and the dependencies within reach."""
    prefix = tmp_path_factory.mktemp("prefix") / "with blank"
    venv.EnvBuilder(with_pip=False, symlinks=True).create(prefix)
    site = prefix / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    copy_packages(site)
    return site


@pytest.mark.parametrize(
    "name",
    [
        "acme-submit",
        "dogtag-ipa-renew-agent-submit",
        "dogtag-submit",
        "est-submit",
        "ipa-submit",
        "local-submit",
        "scep-submit",
    ],
)
def test_the_scripts_are_executable_and_alike(name: str) -> None:
    script = PACKAGE / "bin" / name
    assert script.stat().st_mode & 0o777 == 0o755
    assert script.read_bytes() == (PACKAGE / "bin" / "local-submit").read_bytes()
    assert (PACKAGE / f"{name.replace('-', '_')}.py").exists()


def test_a_script_in_the_source_tree_runs() -> None:
    assert identify(PACKAGE / "bin" / "local-submit").stdout.startswith(ANSWER)


def test_a_script_runs_through_symbolic_links(tmp_path: Path) -> None:
    (tmp_path / "first").symlink_to(PACKAGE / "bin" / "local-submit")
    (tmp_path / "second").symlink_to("first")
    assert identify(tmp_path / "second").stdout.startswith(ANSWER)


def test_a_script_can_be_called_by_a_relative_name() -> None:
    done = subprocess.run(
        ["./local-submit"], check=False, env=ENV, cwd=PACKAGE / "bin", capture_output=True, text=True, timeout=60
    )
    assert done.stdout.startswith(ANSWER)


def test_an_installed_script_runs_with_the_python_and_the_code_beside_it(installation: Path, tmp_path: Path) -> None:
    script = installation / PACKAGE.name / "bin" / "local-submit"
    assert identify(script).stdout.startswith(ANSWER)
    module = installation / PACKAGE.name / "local_submit.py"
    original = module.read_text()
    module.write_text("import sys; print(sys.executable, sys.flags.isolated)")
    (tmp_path / "link").symlink_to(script)
    try:
        done = identify(tmp_path / "link")
    finally:
        module.write_text(original)
    assert done.stdout.rstrip().endswith(" 1")
    assert Path(done.stdout.rsplit(" ", 1)[0]).parent == installation.parents[2] / "bin"


def test_arguments_and_the_status_pass_through(installation: Path) -> None:
    script = installation / PACKAGE.name / "bin" / "local-submit"
    done = subprocess.run(
        [script, "-d", "/nonexistent dir"],
        check=False,
        env={"PATH": "/usr/bin:/bin", "CERTMONGER_OPERATION": "FETCH-ROOTS"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 3
    assert "/nonexistent dir/lock" in done.stdout


def test_code_outside_of_any_installation_is_found_by_the_systems_python(tmp_path: Path) -> None:
    site = tmp_path / "plain folder"
    (site / PACKAGE.name / "bin").mkdir(parents=True)
    shutil.copy(PACKAGE / "bin" / "local-submit", site / PACKAGE.name / "bin")
    (site / PACKAGE.name / "__init__.py").touch()
    (site / PACKAGE.name / "local_submit.py").write_text("import sys; print(__name__, sys.argv[1:], __file__)")
    done = subprocess.run(
        [site / PACKAGE.name / "bin" / "local-submit", "a b"],
        check=False,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == f"__main__ ['a b'] {site}/{PACKAGE.name}/local_submit.py\n"


def test_variables_of_the_caller_do_not_choose_the_code(tmp_path: Path) -> None:
    (tmp_path / "certmonger_helpers").mkdir()
    (tmp_path / "certmonger_helpers" / "__init__.py").write_text("print('wrong code')")
    done = subprocess.run(
        [PACKAGE / "bin" / "local-submit"],
        check=False,
        env={**ENV, "PYTHONPATH": str(tmp_path), "PYTHONHOME": "/nonexistent"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith(ANSWER)
