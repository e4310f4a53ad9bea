"""Which certificate has which role, whatever order the server sends them in."""

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import permutations

import pytest
from cryptography import x509
from scep_material import CERT_SIGN, DIGITAL_SIGNATURE, KEY_ENCIPHERMENT, certificate, ec_key, rsa_key

from certmongerd.core.errors import InvalidValue
from certmongerd.scep.selection import Selection, select


@cache
def family() -> dict[str, x509.Certificate]:
    root_key, middle_key = rsa_key("root"), rsa_key("middle")
    root = certificate("Root", root_key, ca=True, usages=(CERT_SIGN,))
    middle = certificate("Middle", middle_key, issuer=root, issuer_key=root_key, ca=True, usages=(CERT_SIGN,))
    ec_middle = certificate("EC", ec_key("middle"), issuer=root, issuer_key=root_key, ca=True)

    def below(name: str, issuer: x509.Certificate, key_name: str, usages: Sequence[str] | None) -> x509.Certificate:
        issuer_key = root_key if issuer is root else middle_key
        return certificate(name, rsa_key(name), issuer=issuer, issuer_key=issuer_key, ca=False, usages=usages)

    return {
        "root": root,
        "middle": middle,
        "ec middle": ec_middle,
        "ra": below("RA", root, "ra", (DIGITAL_SIGNATURE, KEY_ENCIPHERMENT)),
        "ra sign": below("RA sign", root, "ra sign", (DIGITAL_SIGNATURE,)),
        "ra encrypt": below("RA encrypt", root, "ra encrypt", (KEY_ENCIPHERMENT,)),
        "deep ra": below("Deep RA", middle, "deep ra", None),
        "decrypter": certificate("Decrypter", rsa_key("decrypter"), issuer=ec_middle, issuer_key=ec_key("middle")),
        "encrypting root": certificate("Enc root", rsa_key("er"), ca=True, usages=(CERT_SIGN, KEY_ENCIPHERMENT)),
        "stray": certificate("Stray", rsa_key("stray"), ca=False, usages=(DIGITAL_SIGNATURE,)),
    }


def names(selection: Selection) -> list[str]:
    by_certificate = {each: name for name, each in family().items()}
    return [by_certificate[each] for each in selection.in_order]


def of(*members: str) -> list[x509.Certificate]:
    return [family()[name] for name in members]


def orders(members: Iterable[str]) -> Iterable[tuple[str, ...]]:
    return permutations(members)


@pytest.mark.parametrize(
    "expected",
    [
        ("root",),
        ("ra", "root"),
        ("ra encrypt", "root", "ra sign"),
        ("deep ra", "root", "middle"),
        ("deep ra", "middle"),
        ("middle",),
        ("middle", "root"),
        ("decrypter", "root", "ec middle"),
        ("decrypter", "ec middle"),
    ],
)
def test_roles_do_not_depend_on_the_order_of_the_answer(expected: tuple[str, ...]) -> None:
    for order in orders(expected):
        assert tuple(names(select(of(*order)))) == expected, order


def test_duplicates_do_not_matter() -> None:
    assert names(select(of("root", "ra", "root", "ra"))) == ["ra", "root"]


def test_an_end_entity_beside_a_ca_that_may_encrypt_is_the_ra() -> None:
    assert names(select(of("encrypting root", "ra sign")))[0] == "ra sign"


def test_the_first_of_equals_is_taken() -> None:
    assert names(select(of("ra", "ra encrypt")))[0] == "ra"
    assert names(select(of("ra encrypt", "ra")))[0] == "ra encrypt"


def test_without_an_rsa_key_there_is_nothing_to_encrypt_to() -> None:
    with pytest.raises(InvalidValue, match="RSA"):
        select(of("ec middle"))


def test_given_certificates_win() -> None:
    given = family()
    selection = select(of("ra", "root", "middle"), ra=given["ra sign"], ca=given["middle"])
    assert names(selection)[:2] == ["ra sign", "middle"]
