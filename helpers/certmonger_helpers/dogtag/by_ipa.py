"""The steps of an enrolment at a Dogtag server, taken through the interface of the IPA server that it belongs to.

Later versions of certmonger and FreeIPA do so. The calls are cert_request, cert_status, cert_approve, cert_show and
certprofile_find of ipaserver/plugins/cert.py and certprofile.py.
"""

from dataclasses import dataclass
from typing import Final

from certmonger_helpers.dogtag.state import Progress, Step
from certmonger_helpers.ipa import rpc
from certmonger_helpers.ipa.server import Login, call, exchange
from certmonger_helpers.outcome import Rejected, Unconfigured, Unreachable
from certmonger_helpers.protocol import Reply
from certmonger_helpers.transport import HttpClient
from certmongerd.pki.pem import pem_blocks

_DONE: Final = "complete"
_WAITING: Final = frozenset({"pending", ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class IpaService:
    """An IPA server, and who asks it for what."""

    client: HttpClient
    url: str
    login: Login
    principal: str
    """Whom the certificate is for."""
    can_approve: bool

    async def submit(self, csr: str, profile: str) -> Reply:
        """cert_request."""
        block = next((block for block in pem_blocks(csr) if block.label.endswith("CERTIFICATE REQUEST")), None)
        if block is None:
            raise Unconfigured("Unable to read signing request.")
        request = rpc.CertRequest.of_der(block.der, principal=self.principal, profile=profile, adds_principal=False)
        result = await call(self.client, self.url, request.encode(), self.login)
        if result.get("certificate") is not None:
            return Reply(output=rpc.issued_certificate(result, self.url))
        request_id = str(result.get("request_id") or "")
        if not request_id:
            raise Rejected(f"Server at {self.url} neither issued a certificate nor gave the request a number")
        return self._pending(request_id)

    async def check(self, request_id: str) -> Reply:
        """cert_status."""
        status = str((await self._status(request_id)).get("cert_request_status") or "")
        if status == _DONE:
            return Progress(Step.RETRIEVE, request_id).at_once()
        if status in _WAITING:
            return self._pending(request_id)
        raise Rejected(f"Server at {self.url} replied: request {request_id} is {status}")

    async def approve(self, request_id: str) -> Reply:
        """cert_approve."""
        await call(self.client, self.url, rpc.encode_call("cert_approve", [request_id], {}), self.login)
        return Progress(Step.RETRIEVE, request_id).at_once()

    async def retrieve(self, request_id: str) -> Reply:
        """cert_show, which wants the serial number that cert_status tells."""
        serial = str((await self._status(request_id)).get("serial_number") or request_id)
        result = await call(self.client, self.url, rpc.encode_call("cert_show", [serial], {}), self.login)
        return Reply(output=rpc.issued_certificate(result, self.url))

    async def profiles(self) -> Reply:
        """certprofile_find."""
        body = rpc.encode_call("certprofile_find", [], {"all": True, "sizelimit": 0})
        entries = rpc.read_entries(await exchange(self.client, self.url, body, self.login), self.url)
        names = [name for entry in entries for name in _texts(entry.get("cn"))]
        if not names:
            raise Unreachable(f"Server at {self.url} tells no profiles")
        return Reply(output="".join(f"{name}\n" for name in names))

    async def _status(self, request_id: str) -> dict[str, object]:
        return await call(self.client, self.url, rpc.encode_call("cert_status", [request_id], {}), self.login)

    def _pending(self, request_id: str) -> Reply:
        """Approve at once who can; wait who cannot."""
        if self.can_approve:
            return Progress(Step.APPROVE, request_id).at_once()
        return Progress(Step.CHECK, request_id).later()


def _texts(value: object) -> list[str]:
    """The texts in an attribute, which has one value or several."""
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str)]
