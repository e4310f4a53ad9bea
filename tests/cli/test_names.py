import pytest
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.core.usages import KEY_USAGES
from getcert.errors import CommandFailed
from getcert.names import (
    key_usage_bits,
    key_usage_names,
    object_identifier,
    object_identifier_name,
)


@pytest.mark.parametrize(
    ("names", "bits"),
    [
        (["digitalSignature"], "1"),
        (["dataEncipherment", "decipherOnly", "DIGITALSIGNATURE"], "100100001"),
        (["contentCommitment"], "01"),
        (["cRLSign", "cRLSign"], "0000001"),
        ([], ""),
    ],
)
def test_key_usages_become_a_string_of_bits(names: list[str], bits: str) -> None:
    assert key_usage_bits(names) == bits


@pytest.mark.parametrize("name", ["digitalSignature,keyEncipherment", "", "signing"])
def test_an_unknown_key_usage_is_named(name: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        key_usage_bits([name])
    assert str(caught.value) == f'Unrecognized keyUsage "{name}".'


@given(st.sets(st.sampled_from(KEY_USAGES)))
def test_bits_read_back_as_the_names_they_were_made_of(names: set[str]) -> None:
    shown = key_usage_names(key_usage_bits(names))
    assert set(filter(None, shown.split(","))) == names


@pytest.mark.parametrize(
    ("text", "dotted"),
    [
        ("id-kp-clientAuth", "1.3.6.1.5.5.7.3.2"),
        ("ID-KP-serverauth", "1.3.6.1.5.5.7.3.1"),
        ("id-kp.17", "1.3.6.1.5.5.7.3.17"),
        ("id-ms-kp-sc-logon", "1.3.6.1.4.1.311.20.2.2"),
        ("2.999.1", "2.999.1"),
        ("", ""),
    ],
)
def test_extended_key_usages_are_understood_by_name_and_number(text: str, dotted: str) -> None:
    assert object_identifier(text) == dotted


@pytest.mark.parametrize("text", ["serverAuth", "1.2.3,1.2.4", "1..2", "1.", "3.1", "id-kp.x", "1.02", "1.2 "])
def test_other_texts_are_no_object_identifiers(text: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        object_identifier(text)
    assert str(caught.value) == f'Could not evaluate OID "{text}".'


@pytest.mark.parametrize(
    ("dotted", "name"),
    [
        ("1.3.6.1.5.5.7.3.1", "id-kp-serverAuth"),
        ("1.3.6.1.5.5.7.3.17", "id-kp.17"),
        ("1.3.6.1.5.5.7.33", "id-pkix.33"),
        ("1.2.3.4", "1.2.3.4"),
    ],
)
def test_object_identifiers_are_shown_by_the_nearest_name(dotted: str, name: str) -> None:
    assert object_identifier_name(dotted) == name
