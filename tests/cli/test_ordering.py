import pytest
from hypothesis import given
from hypothesis import strategies as st

from getcert.entries import Properties, RequestEntry
from getcert.options import OPTIONS
from getcert.ordering import ORDERS, in_order, natural_key


def entry(
    number: int, nickname: str, expires: int = 0, status: str = "MONITORING", stuck: bool = False
) -> RequestEntry:
    values = {"nickname": nickname, "not-valid-after": expires, "status": status, "stuck": stuck}
    return RequestEntry(f"/org/fedorahosted/certmonger/requests/Request{number}", Properties(values))


ENTRIES = (
    entry(10, "web10", expires=50),
    entry(9, "Web2", expires=50, status="NEED_CA", stuck=True),
    entry(1, "db", expires=0, status="CA_WORKING"),
    entry(2, "mail", expires=20),
)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("added", ["db", "mail", "Web2", "web10"]),
        ("id", ["db", "mail", "Web2", "web10"]),
        ("expires", ["mail", "Web2", "web10", "db"]),
        ("status", ["Web2", "db", "mail", "web10"]),
    ],
)
def test_requests_are_shown_in_the_order_asked_for(order: str, expected: list[str]) -> None:
    assert [shown.nickname for shown in in_order(ENTRIES, order)] == expected


def test_the_option_offers_every_order() -> None:
    assert OPTIONS["sort"].choices == ORDERS


@given(st.permutations(ENTRIES), st.sampled_from(ORDERS))
def test_the_same_requests_always_come_in_the_same_order(shuffled: list[RequestEntry], order: str) -> None:
    assert in_order(shuffled, order) == in_order(ENTRIES, order)


@given(st.text(), st.text())
def test_any_two_names_can_be_compared(one: str, other: str) -> None:
    first, second = natural_key(one), natural_key(other)
    assert (first < second) + (second < first) + (first == second) == 1
