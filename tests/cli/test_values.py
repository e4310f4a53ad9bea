from pathlib import Path

import pytest

from certmongerd.busapi.transport import Variant
from getcert.errors import CommandFailed
from getcert.options import OPTIONS, parse_options
from getcert.values import Values, key_size_bits, key_values, template_values

NAMES = tuple(name for name in OPTIONS if name not in ("all", "requests_only", "utc", "assigned_id", "url"))


def silent(line: str) -> None:
    raise AssertionError(line)


def values_of(*arguments: str) -> Values:
    return template_values(parse_options(NAMES, arguments), "R", silent)


def test_what_is_not_given_is_not_sent() -> None:
    assert values_of("-i", "x", "-w") == {}


def test_a_resubmission_does_not_say_whether_it_is_for_a_ca_unless_told() -> None:
    assert values_of("--for-ca") == {"template-is-ca": Variant("b", value=True)}
    assert values_of("--for-ca", "--not-for-ca") == {"template-is-ca": Variant("b", value=False)}


def test_an_empty_argument_of_a_list_is_sent_so_that_it_clears_the_list() -> None:
    assert values_of("-D", "", "-U", "") == {
        "template-hostname": Variant("as", ("",)),
        "template-eku": Variant("as", ("",)),
    }


def test_names_are_translated() -> None:
    assert values_of("-u", "keyEncipherment", "-U", "id-kp-serverAuth", "-K", "HTTP/x") == {
        "template-ku": Variant("s", "001"),
        "template-eku": Variant("as", ("1.3.6.1.5.5.7.3.1",)),
        "template-principal": Variant("as", ("HTTP/x@R",)),
    }


def test_modes_are_octal(tmp_path: Path) -> None:
    assert values_of("-m", "0640", "-M", "644") == {
        "key-perms": Variant("x", 0o640),
        "cert-perms": Variant("x", 0o644),
    }
    for text in ("999", "rw", "0x10", "-1"):
        with pytest.raises(CommandFailed, match="Invalid mode"):
            values_of(f"-m={text}")


def test_an_empty_mode_leaves_the_mode_alone() -> None:
    assert values_of("-m", "") == {}


def test_files_of_ca_certificates_are_lists(tmp_path: Path) -> None:
    assert values_of("-F", f"{tmp_path}/a", "-F", f"{tmp_path}/b", "-a", f"sql:{tmp_path}") == {
        "root-cert-files": Variant("as", (f"{tmp_path}/a", f"{tmp_path}/b")),
        "root-cert-nssdbs": Variant("as", (f"sql:{tmp_path}",)),
    }


@pytest.mark.parametrize(
    ("text", "key_type", "bits"),
    [
        ("3072", None, 3072),
        ("256", None, 256),
        ("521", "ec", 521),
        ("512", "EC", 512),
        ("None", None, None),
        ("", "RSA", None),
    ],
)
def test_a_key_size_is_a_number_that_the_type_has(text: str, key_type: str | None, bits: int | None) -> None:
    assert key_size_bits(text, key_type) == bits


@pytest.mark.parametrize(
    ("text", "key_type"),
    [
        ("10x", None),
        ("-5", None),
        ("many", "RSA"),
        ("512", "RSA"),
        ("512", "rsa"),
        ("2048", "EC"),
        ("0", None),
        ("99999", "RSA"),
    ],
)
def test_a_key_size_that_no_key_has_is_refused(text: str, key_type: str | None) -> None:
    with pytest.raises(CommandFailed, match=text):
        key_size_bits(text, key_type)


def test_a_key_size_of_none_is_left_to_the_daemon() -> None:
    assert key_values(parse_options(NAMES, ["-g", "None", "-G", "rsa"])) == {"KEY_TYPE": Variant("s", "rsa")}
