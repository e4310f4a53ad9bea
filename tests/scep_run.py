"""How a run of scep-submit inside the test process ended."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Status and output of one run."""

    status: int
    output: str

    @property
    def first_line(self) -> str:
        return self.output.partition("\n")[0]


class RunHelper(Protocol):
    """Runs scep-submit with *arguments* and CERTMONGER_* variables."""

    def __call__(self, *arguments: str, **variables: str) -> Finished: ...
