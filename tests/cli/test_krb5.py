from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from getcert.errors import CommandFailed
from getcert.krb5 import CONFIG_VARIABLE, canonical_principal, host_principal, read_default_realm


def realm_of(directory: Path, text: str) -> str | None:
    path = directory / "krb5.conf"
    path.write_text(text)
    return read_default_realm({CONFIG_VARIABLE: str(path)})


@pytest.mark.parametrize(
    ("text", "realm"),
    [
        ("[libdefaults]\n default_realm = EXAMPLE.ORG\n", "EXAMPLE.ORG"),
        ("[libdefaults]\n default_realm=FIRST\n default_realm = SECOND\n", "FIRST"),
        ("# c\n; d\nfoo\n[libdefaults]\n default_realm = E", "E"),
        ("[libdefaults]\n default_realm = E # no comment\n", "E # no comment"),
        ('[libdefaults]\n default_realm = "E X"\n', "E X"),
        ("[realms]\n E = {\n default_realm = x\n }\n[libdefaults]\ndefault_realm = E2\n", "E2"),
        ("[libdefaults]*\n default_realm* = AA\n[libdefaults]\n default_realm=BB", "AA"),
        ("[libdefaults]\n default_realm = {\n", None),
        ("[libdefaults]\n default_realm = \n", None),
        ("[libdefaults]\n dns_lookup_realm = true\n", None),
        ("module /x/y:z\n[libdefaults]\n default_realm=BB", None),
        ("", None),
    ],
)
def test_the_default_realm_is_read_as_kerberos_reads_it(tmp_path: Path, text: str, realm: str | None) -> None:
    assert realm_of(tmp_path, text) == realm


@pytest.mark.parametrize(
    "text",
    [
        "[libdefaults\n",
        "[libdefaults]x\n",
        "[libdefaults]\n default_realm\n",
        "[libdefaults]\n two words = x\n",
        "[libdefaults]\n}\n",
        "[appdefaults]\nx={\n[libdefaults]\n",
        "[libdefaults]\n default_realm =\n other = x\n",
    ],
)
def test_a_broken_configuration_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(CommandFailed, match="Improper format of Kerberos configuration file"):
        realm_of(tmp_path, text)


def test_included_files_and_directories_are_read(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "one.conf").write_text("[libdefaults]\n default_realm = INCLUDED\n")
    (tmp_path / "d" / "two~").write_text("[broken\n")
    assert realm_of(tmp_path, f"includedir {tmp_path}/d\n") == "INCLUDED"
    assert realm_of(tmp_path, f"include {tmp_path}/d/one.conf\n") == "INCLUDED"


def test_a_missing_included_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="Included profile file could not be read"):
        realm_of(tmp_path, f"include {tmp_path}/none\n")


def test_files_that_include_each_other_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="Improper format"):
        realm_of(tmp_path, f"include {tmp_path}/krb5.conf\n")


def test_several_files_may_be_named_and_missing_ones_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("[libdefaults]\n default_realm = A\n")
    (tmp_path / "b").write_text("[libdefaults]\n default_realm = B\n")
    assert read_default_realm({CONFIG_VARIABLE: f"{tmp_path}/none:{tmp_path}/a:{tmp_path}/b"}) == "A"


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("HTTP/x", "HTTP/x@R"),
        ("a@B", "a@B"),
        ("x@", "x@"),
        ("/", "/@R"),
        (r"x\@y", r"x\@y@R"),
        (r"a\/b@R\/x", r"a\/b@R\/x"),
        (r"a\q", "aq@R"),
        ("a\tb", r"a\tb@R"),
        (r"a\0b", r"a\0b@R"),
        ("", ""),
    ],
)
def test_principals_get_the_realm_and_canonical_escapes(name: str, canonical: str) -> None:
    assert canonical_principal(name, "R") == canonical


@pytest.mark.parametrize("name", ["a@b@c", "a\\", "a@R/x"])
def test_malformed_principals_are_refused(name: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        canonical_principal(name, "R")
    assert str(caught.value) == (
        f'Error parsing Kerberos principal name "{name}": Malformed representation of principal.'
    )


def test_a_principal_without_a_realm_needs_a_default_realm() -> None:
    with pytest.raises(CommandFailed, match="Configuration file does not specify default realm"):
        canonical_principal("HTTP/x", None)
    assert canonical_principal("HTTP/x@R", None) == "HTTP/x@R"


def test_without_a_realm_a_host_has_no_principal() -> None:
    assert host_principal("h.example.org", None) is None
    assert host_principal("h.example.org", "R") == "host/h.example.org@R"


@given(st.text(alphabet="ab/@\\nt0\t\n é", max_size=12))
def test_the_canonical_form_is_its_own_canonical_form(name: str) -> None:
    try:
        once = canonical_principal(name, "R")
    except CommandFailed:
        return
    assert canonical_principal(once, None if once else "R") == once
