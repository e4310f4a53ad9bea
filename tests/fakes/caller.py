"""Calls the D-Bus interface as a client would, bytes included, but without sockets."""

from collections.abc import Mapping
from typing import Final

from certmongerd.api import PROPERTIES_INTERFACE, REQUEST_INTERFACE, ROOT_INTERFACE, ROOT_PATH
from certmongerd.busapi.dispatch import CertmongerApi
from certmongerd.busapi.service import Caller
from certmongerd.busapi.transport import Decoder, MessageKind, Variant, WireMessage, encode

ROOT_USER: Final = Caller(uid=0, pid=1)


def through_the_wire(message: WireMessage) -> WireMessage:
    """*message* after encoding and decoding."""
    (decoded,) = Decoder().feed(encode(message))
    return decoded


class Client:
    """One caller."""

    def __init__(self, api: CertmongerApi, caller: Caller = ROOT_USER) -> None:
        self._api = api
        self._caller = caller
        self._serial = 0

    async def message(
        self,
        path: str,
        interface: str | None,
        member: str,
        signature: str = "",
        body: tuple[object, ...] = (),
        *,
        no_reply: bool = False,
    ) -> WireMessage | None:
        """The reply or error message."""
        self._serial += 1
        call = WireMessage(
            kind=MessageKind.CALL,
            serial=self._serial,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=body,
            no_reply_expected=no_reply,
        )
        reply = await self._api.handle(through_the_wire(call), self._caller)
        if reply is None:
            return None
        numbered = WireMessage(
            kind=reply.kind,
            serial=1,
            reply_serial=reply.reply_serial,
            error_name=reply.error_name,
            signature=reply.signature,
            body=reply.body,
        )
        return through_the_wire(numbered)

    async def reply(
        self, path: str, interface: str | None, member: str, signature: str = "", body: tuple[object, ...] = ()
    ) -> WireMessage:
        """The message, which has to exist."""
        message = await self.message(path, interface, member, signature, body)
        assert message is not None
        return message

    async def call(
        self, path: str, interface: str | None, member: str, signature: str = "", body: tuple[object, ...] = ()
    ) -> tuple[object, ...]:
        """The body of a successful reply."""
        message = await self.reply(path, interface, member, signature, body)
        assert message.kind is MessageKind.REPLY, (message.error_name, message.body)
        return message.body

    async def error(
        self, path: str, interface: str | None, member: str, signature: str = "", body: tuple[object, ...] = ()
    ) -> tuple[str, tuple[object, ...]]:
        """Name and body of an error."""
        message = await self.reply(path, interface, member, signature, body)
        assert message.kind is MessageKind.ERROR, message.body
        return message.error_name or "", message.body

    async def add(self, entries: Mapping[str, Variant]) -> str:
        """Add a request; its path."""
        accepted, path = await self.call(ROOT_PATH, ROOT_INTERFACE, "add_request", "a{sv}", (dict(entries),))
        assert accepted is True
        return str(path)

    async def modify(self, path: str, entries: Mapping[str, Variant]) -> tuple[object, ...]:
        """Modify a request."""
        return await self.call(path, REQUEST_INTERFACE, "modify", "a{sv}", (dict(entries),))

    async def get(self, path: str, name: str, interface: str = "") -> object:
        """A property's plain value, None when the reply is empty."""
        body = await self.call(path, PROPERTIES_INTERFACE, "Get", "ss", (interface, name))
        if not body:
            return None
        assert isinstance(body[0], Variant)
        return body[0].value

    async def get_all(self, path: str, interface: str = "") -> dict[str, Variant]:
        """All properties."""
        (properties,) = await self.call(path, PROPERTIES_INTERFACE, "GetAll", "s", (interface,))
        assert isinstance(properties, dict)
        return properties

    async def set(self, path: str, name: str, value: Variant, interface: str = "") -> None:
        """Set a property."""
        body = await self.call(path, PROPERTIES_INTERFACE, "Set", "ssv", (interface, name, value))
        assert body == ()


class Recorder:
    """A signal sink that keeps what it gets."""

    def __init__(self, api: CertmongerApi) -> None:
        self.signals: list[WireMessage] = []
        api.attach(self)

    def emit(self, encoded: bytes) -> None:
        self.signals += Decoder().feed(encoded)

    def members(self) -> list[str | None]:
        """Names of the signals so far."""
        return [signal.member for signal in self.signals]

    def changes(self) -> list[tuple[dict[str, object], tuple[str, ...]]]:
        """Plain changed properties and invalidated names of every PropertiesChanged so far."""
        found: list[tuple[dict[str, object], tuple[str, ...]]] = []
        for signal in self.signals:
            if signal.member == "PropertiesChanged":
                assert signal.signature == "sa{sv}as"
                _, changed, invalidated = signal.body
                assert isinstance(changed, dict)
                assert isinstance(invalidated, tuple)
                found.append(({name: variant.value for name, variant in changed.items()}, invalidated))
        return found


def s(text: str) -> Variant:
    """A string."""
    return Variant("s", text)


def texts(*elements: str) -> Variant:
    """A list of strings."""
    return Variant("as", elements)


def b(flag: bool) -> Variant:
    """A boolean."""
    return Variant("b", flag)


def x(number: int) -> Variant:
    """A number."""
    return Variant("x", number)
