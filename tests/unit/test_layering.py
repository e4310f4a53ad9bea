"""Which part may import what."""

import ast
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

import certmongerd

PACKAGE = Path(certmongerd.__file__).parent
PURE = ("core", "pki", "scep")
IMPURE_MODULES = frozenset(
    [
        "asyncio",
        "concurrent",
        "ctypes",
        "fcntl",
        "http",
        "multiprocessing",
        "os",
        "pathlib",
        "random",
        "requests",
        "secrets",
        "select",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "socketserver",
        "sqlite3",
        "ssl",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "urllib",
        "uuid",
        "aiohttp",
        "dbus_next",
        "dbus_fast",
    ]
)
"""Input and output, clocks, and randomness."""
CLOCKS = frozenset({"now", "utcnow", "today"})
BUS_LIBRARIES = frozenset({"dbus_next", "dbus_fast"})
TRANSPORT = PACKAGE / "busapi" / "transport.py"


def modules(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """The full names of everything *path* imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def top(name: str) -> str:
    return name.split(".")[0]


def test_there_is_something_to_check() -> None:
    assert all(modules(PACKAGE / layer) for layer in PURE)
    assert "certmongerd.core.model.Request" in set(imports(PACKAGE / "core" / "machine.py"))


@pytest.mark.parametrize("layer", PURE)
def test_the_core_and_the_formats_touch_nothing_outside_of_their_arguments(layer: str) -> None:
    found = {
        f"{path.name}: {name}"
        for path in modules(PACKAGE / layer)
        for name in imports(path)
        if top(name) in IMPURE_MODULES
    }
    assert found == set()


@pytest.mark.parametrize("layer", PURE)
def test_the_core_and_the_formats_ask_no_clock(layer: str) -> None:
    found = {
        f"{path.name}:{node.lineno}"
        for path in modules(PACKAGE / layer)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in CLOCKS
        and ast.unparse(node.func.value) in {"datetime", "date", "datetime.datetime", "datetime.date"}
    }
    assert found == set()


def test_the_core_knows_nothing_of_the_rest() -> None:
    found = {
        f"{path.name}: {name}"
        for path in modules(PACKAGE / "core")
        for name in imports(path)
        if top(name) in {"certmongerd", "getcert", "certmonger_helpers"} and not name.startswith("certmongerd.core.")
    }
    assert found == set()


def test_one_module_speaks_to_the_bus_library() -> None:
    root = PACKAGE.parent
    found = {
        path
        for path in modules(PACKAGE, root / "getcert", root / "helpers" / "certmonger_helpers")
        if any(top(name) in BUS_LIBRARIES for name in imports(path))
    }
    assert found <= {TRANSPORT}


def test_imports_go_round_in_no_circle() -> None:
    graph = grimp.build_graph("certmongerd", cache_dir=None)
    found = {
        f"{importer} -> {imported} -> ... -> {importer}"
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
        if graph.chain_exists(importer=imported, imported=importer)
    }
    assert found == set()
