"""Changed copies are those of dataclasses.replace."""

import dataclasses
from dataclasses import dataclass, field

import pytest
from fakes.request_events import requests

from certmongerd.core.evolve import replace
from certmongerd.core.secret import Secret
from certmongerd.core.states import State


def test_a_copy_is_what_the_constructor_would_make() -> None:
    for request in requests():
        changed = replace(request, state=State.NEED_CSR, attempts=3, csr="x")
        assert changed == dataclasses.replace(request, state=State.NEED_CSR, attempts=3, csr="x")
        assert changed.attempts == 3
        assert request == replace(request)
        assert hash(changed) == hash(dataclasses.replace(changed))


def test_what_is_no_field_is_refused() -> None:
    with pytest.raises(AttributeError):
        replace(next(iter(requests())), colour="red")  # type: ignore[call-arg]


@dataclass
class Loose:
    number: int = 0


@dataclass(slots=True)
class Checked:
    secret: Secret = field(default_factory=lambda: Secret("x"))

    def __post_init__(self) -> None:
        self.secret.reveal()


@pytest.mark.parametrize("value", [Loose(), Checked()])
def test_classes_whose_constructor_matters_are_refused(value: Loose | Checked) -> None:
    with pytest.raises(TypeError, match="not a slotted dataclass"):
        replace(value)
