"""Built-in CAs and the place of helper programs."""

import pytest

from certmongerd.config.builtin import builtin_cas, missing_builtins, resolve_helper
from certmongerd.core.ids import CaName
from certmongerd.core.model import Ca, CaType

OURS = "/opt/c/helpers"


def exists(*programs: str) -> frozenset[str]:
    return frozenset(programs)


def test_the_built_in_cas_in_order() -> None:
    assert [(ca.id, ca.type, ca.internal_serial, ca.external_helper) for ca in builtin_cas(OURS)] == [
        ("SelfSign", CaType.INTERNAL_SELF, "01", ""),
        ("IPA", CaType.EXTERNAL, "", f"{OURS}/ipa-submit"),
        ("dogtag-ipa-renew-agent", CaType.EXTERNAL, "", f"{OURS}/dogtag-ipa-renew-agent-submit"),
        ("local", CaType.EXTERNAL, "", f"{OURS}/local-submit"),
    ]


def test_no_built_in_ca_is_the_default() -> None:
    assert not any(ca.is_default for ca in builtin_cas(OURS))


def test_only_missing_ones_are_added() -> None:
    assert missing_builtins(builtin_cas(OURS), OURS) == ()
    assert missing_builtins([], OURS) == builtin_cas(OURS)
    present = [Ca(id=CaName("IPA")), Ca(id=CaName("mine"))]
    assert [ca.id for ca in missing_builtins(present, OURS)] == ["SelfSign", "dogtag-ipa-renew-agent", "local"]


def test_one_self_signing_ca_is_enough() -> None:
    present = [Ca(id=CaName("my own"), type=CaType.INTERNAL_SELF)]

    assert "SelfSign" not in [ca.id for ca in missing_builtins(present, OURS)]


@pytest.mark.parametrize("directory", ["/usr/lib/certmonger", "/usr/libexec/certmonger"])
def test_a_helper_of_certmonger_that_is_missing_is_replaced_by_ours(directory: str) -> None:
    command = f"{directory}/scep-submit -u 'http://ca.example.org/x y'   -I /a"

    resolved = resolve_helper(command, OURS, exists(f"{OURS}/scep-submit").__contains__)

    assert resolved == f"{OURS}/scep-submit -u 'http://ca.example.org/x y'   -I /a"


@pytest.mark.parametrize(
    "command",
    [
        "",
        "   ",
        "scep-submit",
        "/usr/local/bin/scep-submit",
        "/usr/lib/certmonger/other-submit",
        "/usr/lib/certmonger/sub/scep-submit",
        "/usr/lib/certmonger/../scep-submit",
        "'/usr/lib/certmonger/scep-submit' -v",
    ],
)
def test_other_commands_stay(command: str) -> None:
    assert resolve_helper(command, OURS, exists(f"{OURS}/scep-submit").__contains__) == command


def test_an_installed_helper_of_certmonger_is_used() -> None:
    command = "/usr/lib/certmonger/scep-submit -u x"

    assert resolve_helper(command, OURS, lambda _: True) == command


def test_a_helper_behind_freeipas_guard_is_replaced_too() -> None:
    guard = "/usr/libexec/certmonger/ipa-server-guard"
    command = f"{guard} /usr/libexec/certmonger/ipa-submit -v"
    there = {guard, f"{OURS}/ipa-submit"}
    assert resolve_helper(command, OURS, there.__contains__) == f"{guard} {OURS}/ipa-submit -v"
    assert resolve_helper(command, OURS, {guard}.__contains__) == command
    assert resolve_helper(guard, OURS, there.__contains__) == guard
