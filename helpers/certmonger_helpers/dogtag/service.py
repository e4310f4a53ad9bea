"""The steps of an enrolment at a Dogtag server."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from certmonger_helpers.address import http_url, shown
from certmonger_helpers.dogtag import answers
from certmonger_helpers.dogtag.answers import MAX_ANSWER_BYTES, Answer
from certmonger_helpers.dogtag.state import Progress, Step
from certmonger_helpers.outcome import Unconfigured, Unreachable
from certmonger_helpers.protocol import Reply
from certmonger_helpers.transport import HttpClient, HttpRequest

_log = logging.getLogger(__name__)

_FORM = "application/x-www-form-urlencoded"
Form = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What is sent to begin with."""

    profile: str
    csr: str = ""
    """PEM; for a new certificate."""
    serial: int | None = None
    """Of the certificate to renew; then there is no need of a request."""
    credentials: Form = field(default=(), repr=False)
    """`uid`, `udn`, `pwd` and `pin` of a user, as far as they are given."""
    extra: Form = ()
    """Further parameters; they win over credentials of the same name."""

    def form(self) -> Form:
        """The parameters in the order in which certmonger sends them."""
        if self.serial is not None:
            what = [("serial_num", str(self.serial)), ("renewal", "true")]
        else:
            what = [("cert_request_type", "pkcs10"), ("cert_request", self.csr.strip() + "\n")]
        named = {name for name, _ in self.extra}
        credentials = [(name, value) for name, value in self.credentials if name not in named]
        return [("profileId", self.profile), *what, ("xml", "true"), *credentials, *self.extra]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A server, with the clients to ask it as anybody, and as an agent."""

    client: HttpClient
    ee_url: str
    agent: HttpClient | None = None
    agent_url: str = ""
    submits_as_agent: bool = False

    @property
    def can_approve(self) -> bool:
        """Whether there is what approving takes."""
        return self.agent is not None and bool(self.agent_url)

    async def submit(self, submission: Submission) -> Reply:
        """profileSubmit."""
        if self.submits_as_agent and self.agent is not None:
            answer = await self._post(self.agent, self.ee_url, "profileSubmitSSLClient", submission.form())
        else:
            answer = await self._post(self.client, self.ee_url, "profileSubmit", submission.form())
        result = answers.submitted(answer)
        return Reply(output=result.certificate) if result.certificate else self._pending(result.request_id)

    async def check(self, request_id: str) -> Reply:
        """checkRequest."""
        answer = await self._get(self.client, self.ee_url, "checkRequest", [("requestId", request_id), ("xml", "true")])
        if answers.checked_status(answer) == "complete":
            return Progress(Step.RETRIEVE, request_id).at_once()
        return self._pending(request_id)

    async def approve(self, request_id: str, given: Mapping[str, str]) -> Reply:
        """profileReview and profileProcess, with the agent's certificate."""
        if self.agent is None or not self.agent_url:
            raise Unconfigured("Only an agent can approve: there is no agent URL (-A) or no certificate of an agent")
        known = [("requestId", request_id), ("xml", "true")]
        review = await self._get(self.agent, self.agent_url, "profileReview", known)
        form = answers.approval_form(answers.defaults_to_approve(review), given)
        processed = await self._post(self.agent, self.agent_url, "profileProcess", [*known, ("op", "approve"), *form])
        answers.require_approved(processed)
        return Progress(Step.RETRIEVE, request_id).at_once()

    async def retrieve(self, request_id: str) -> Reply:
        """displayCertFromRequest."""
        form = [("requestId", request_id), ("importCert", "true"), ("xml", "true")]
        answer = await self._get(self.client, self.ee_url, "displayCertFromRequest", form)
        return Reply(output=answers.retrieved_certificate(answer))

    async def profiles(self) -> Reply:
        """profileList."""
        client = self.agent if self.submits_as_agent and self.agent is not None else self.client
        answer = await self._get(client, self.ee_url, "profileList", [("xml", "true")])
        return Reply(output="".join(f"{name}\n" for name in answers.profiles(answer)))

    def _pending(self, request_id: str) -> Reply:
        """Approve at once who can; wait who cannot."""
        if self.can_approve:
            return Progress(Step.APPROVE, request_id).at_once()
        return Progress(Step.CHECK, request_id).later()

    async def _get(self, client: HttpClient, base: str, name: str, form: Form) -> Answer:
        url = f"{http_url(base, 'Dogtag URL').rstrip('/')}/{name}"
        return await self._exchange(client, HttpRequest(url=f"{url}?{urlencode(form)}", max_bytes=MAX_ANSWER_BYTES))

    async def _post(self, client: HttpClient, base: str, name: str, form: Form) -> Answer:
        url = f"{http_url(base, 'Dogtag URL').rstrip('/')}/{name}"
        body = urlencode(form).encode("ascii")
        return await self._exchange(
            client,
            HttpRequest(url=url, method="POST", body=body, content_type=_FORM, max_bytes=MAX_ANSWER_BYTES),
        )

    @staticmethod
    async def _exchange(client: HttpClient, request: HttpRequest) -> Answer:
        """Send and read. Raises Unreachable."""
        url = shown(request.url.partition("?")[0])
        response = await client.send(request)
        _log.debug("answer: %s", response.body.decode("utf-8", "replace"))
        if response.status != 200:
            raise Unreachable(f'Server at "{url}" answered with HTTP {response.status}')
        return Answer.parse(response.body, url)
