"""How far an enrolment has come: the cookie of the Dogtag helpers, which is certmonger's. Pure."""

from dataclasses import dataclass
from enum import Enum
from urllib.parse import parse_qs, quote

from certmonger_helpers.outcome import ExitStatus
from certmonger_helpers.protocol import Reply


class Step(Enum):
    """What is to be done next."""

    SUBMIT = "submit"
    CHECK = "check"
    APPROVE = "approve"
    RETRIEVE = "retrieve"


_NAMES = {step.value: step for step in Step} | {"review": Step.APPROVE, "fetch": Step.RETRIEVE}


@dataclass(frozen=True, slots=True)
class Progress:
    """The next step of the server's request *request_id*, which is empty before there is one."""

    step: Step = Step.SUBMIT
    request_id: str = ""

    @classmethod
    def of_cookie(cls, cookie: str) -> "Progress":
        """Read a cookie; what is none, or names no request, means that everything begins anew."""
        fields = parse_qs(cookie.strip())
        step = _NAMES.get(fields.get("state", [""])[0])
        request_id = fields.get("requestId", [""])[0].strip()
        return cls(step, request_id) if step is not None and request_id else cls()

    @property
    def _cookie(self) -> str:
        return f"state={self.step.value}&requestId={quote(self.request_id, safe='')}\n"

    def at_once(self) -> Reply:
        """Go on with the next step without waiting."""
        return Reply(output=f"0\n{self._cookie}", status=ExitStatus.WAIT_WITH_DELAY)

    def later(self) -> Reply:
        """Go on with the next step when somebody has had time to decide."""
        return Reply(output=self._cookie, status=ExitStatus.WAIT)
