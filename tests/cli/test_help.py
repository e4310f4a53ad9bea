import pytest

from getcert.help import option_names
from getcert.main import COMMANDS, PINNED_CAS, run
from getcert.options import OPTIONS

VERBS = tuple(COMMANDS)


def shown(capsys: pytest.CaptureFixture[str], program: str, *arguments: str) -> str:
    assert run(program, arguments, {}) == 1
    return capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_command_has_every_option_it_documents(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    text = shown(capsys, "getcert", verb, "--help")
    for name in option_names(COMMANDS[verb].load().GROUPS):
        assert f"--{OPTIONS[name].long}" in text


@pytest.mark.parametrize("verb", VERBS)
def test_no_command_has_two_options_of_one_spelling(verb: str) -> None:
    module = COMMANDS[verb].load()
    rows = [OPTIONS[name] for name in option_names(module.GROUPS, hidden=module.HIDDEN)]
    shorts = [row.short for row in rows if row.short]
    longs = [row.long for row in rows]
    assert len(set(shorts)) == len(shorts)
    assert len(set(longs)) == len(longs)


@pytest.mark.parametrize("program", PINNED_CAS)
def test_an_alias_offers_neither_ca_editing_nor_the_choice_of_a_ca(
    capsys: pytest.CaptureFixture[str], program: str
) -> None:
    general = shown(capsys, program)
    assert "add-ca" not in general
    assert "request" in general
    assert "--ca=NAME" not in shown(capsys, program, "request", "--help")
    assert "unrecognized option -c" in shown(capsys, program, "list", "-c", "x")


def test_the_option_listing_names_undocumented_options_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--key-type" in shown(capsys, "getcert", "resubmit", "-H")
