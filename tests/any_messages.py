"""Well-formed D-Bus messages of every kind, for hypothesis: mostly nonsense, often nearly right."""

from functools import partial
from typing import Final

from hypothesis import strategies as st

from certmongerd.api import (
    CA_INTERFACE,
    DBUS_NAME,
    EXTENDED_REQUEST_INTERFACE,
    INTROSPECTABLE_INTERFACE,
    OBJECT_MANAGER_INTERFACE,
    PEER_INTERFACE,
    PROPERTIES_INTERFACE,
    REQUEST_INTERFACE,
    ROOT_INTERFACE,
    ROOT_PATH,
)
from certmongerd.busapi.ca import CA
from certmongerd.busapi.conformance import complete_types
from certmongerd.busapi.extended_request import EXTENDED_REQUEST
from certmongerd.busapi.introspect import INTROSPECTABLE
from certmongerd.busapi.manager import MANAGER
from certmongerd.busapi.object_manager import OBJECT_MANAGER
from certmongerd.busapi.properties import PROPERTIES
from certmongerd.busapi.request import REQUEST
from certmongerd.busapi.settings import SETTINGS
from certmongerd.busapi.transport import MessageKind, Variant, WireMessage

PATHS: Final = (
    "/",
    "/org",
    "/nowhere",
    ROOT_PATH,
    f"{ROOT_PATH}/cas",
    f"{ROOT_PATH}/requests",
    *(f"{ROOT_PATH}/{name}" for name in ("cas/CA1", "cas/CA2", "cas/CA9", "requests/Request1", "requests/Request2")),
)
_TABLES: Final = (MANAGER, REQUEST, CA, EXTENDED_REQUEST, INTROSPECTABLE, PROPERTIES, OBJECT_MANAGER)
_METHODS: Final = {name: (table.name, row.input_signature) for table in _TABLES for name, row in table.methods.items()}
_PROPERTY_TYPES: Final = {name: row.type for table in (REQUEST, CA) for name, row in table.properties.items()}
_SETTING_KEYS: Final = tuple(sorted({key for setting in SETTINGS for key in setting.keys}))
_CAS: Final = tuple(path for path in PATHS if "/cas/CA" in path)
_REQUESTS: Final = tuple(path for path in PATHS if "/requests/Request" in path)
_OBJECTS: Final = {
    ROOT_INTERFACE: (ROOT_PATH,),
    OBJECT_MANAGER_INTERFACE: (ROOT_PATH,),
    REQUEST_INTERFACE: _REQUESTS,
    EXTENDED_REQUEST_INTERFACE: _REQUESTS,
    CA_INTERFACE: _CAS,
    PROPERTIES_INTERFACE: (*_REQUESTS, *_CAS),
}
"""The objects that have an interface."""
_INTERFACES: Final = (
    ROOT_INTERFACE,
    REQUEST_INTERFACE,
    CA_INTERFACE,
    EXTENDED_REQUEST_INTERFACE,
    PROPERTIES_INTERFACE,
    INTROSPECTABLE_INTERFACE,
    OBJECT_MANAGER_INTERFACE,
    PEER_INTERFACE,
)
_INTEGERS: Final = {"y": (0, 8), "n": (-1, 16), "q": (0, 16), "i": (-1, 32), "u": (0, 32), "x": (-1, 64), "t": (0, 64)}
_BASIC: Final = "ybnqiuxtdsog"

texts: Final = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(["", "web", "WEB", "IPA", "ipa", "FILE", "NSSDB", "NONE", "EC", "ML-DSA-44", "/", "/tmp", "CN=x"]),
    st.sampled_from(["/tmp/any-message.crt", "1.2.3", "1.2.3:4", "101", "relative", "aes256", "user:group", "a\nb"]),
    st.sampled_from(["", REQUEST_INTERFACE, CA_INTERFACE, *PATHS]),
    st.sampled_from(sorted(_PROPERTY_TYPES)),
)
keys: Final = st.one_of(st.sampled_from(_SETTING_KEYS), st.sampled_from(_SETTING_KEYS).map(str.swapcase), texts)


def _integers(bounds: tuple[int, int]) -> st.SearchStrategy[int]:
    is_signed, bits = bounds
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if is_signed else (0, 2**bits - 1)
    return st.one_of(st.integers(low, high), st.sampled_from([0, 1, min(high, 2048), high, low]))


def value_of(type_: str) -> st.SearchStrategy[object]:
    """Values of one complete type."""
    match type_[0]:
        case "b":
            return st.booleans()
        case "d":
            return st.floats(allow_nan=False)
        case "s":
            return texts
        case "o":
            return st.sampled_from(PATHS)
        case "g":
            return st.sampled_from(["", "s", "a{sv}", "(ii)"])
        case "v":
            return variants
        case "(":
            return st.tuples(*(value_of(member) for member in complete_types(type_[1:-1])))
        case "a" if type_[1] == "{":
            key, value = complete_types(type_[2:-1])
            names = keys if key == "s" else value_of(key)
            return st.dictionaries(names, value_of(value), max_size=4)
        case "a" if type_[1] == "y":
            return st.binary(max_size=8)
        case "a":
            return st.lists(value_of(type_[1:]), max_size=3).map(tuple)
        case basic:
            return _integers(_INTEGERS[basic])


types: Final = st.recursive(
    st.sampled_from(_BASIC),
    lambda inner: st.one_of(
        inner.map("a{}".format),
        st.lists(inner, min_size=1, max_size=3).map(lambda members: f"({''.join(members)})"),
        st.tuples(st.sampled_from(_BASIC), inner).map(lambda entry: f"a{{{entry[0]}{entry[1]}}}"),
        st.just("v"),
    ),
    max_leaves=4,
)
variants: Final = st.deferred(
    lambda: st.one_of(
        st.sampled_from(["s", "b", "x", "i", "as", "o"]), st.sampled_from(sorted(_PROPERTY_TYPES.values())), types
    ).flatmap(lambda type_: value_of(type_).map(lambda value: Variant(type_, value)))
)


_SETTING_TYPES: Final = {
    key: _PROPERTY_TYPES[setting.properties[0]] for setting in SETTINGS for key in setting.keys if setting.properties
}
_STORAGE: Final = {"CERT_STORAGE": Variant("s", "FILE"), "CERT_LOCATION": Variant("s", "/tmp/any-message.crt")}


def _variant_of(type_: str) -> st.SearchStrategy[Variant]:
    """Values that have the type, most of them."""
    return st.one_of(value_of(type_).map(lambda value: Variant(type_, value)), variants)


@st.composite
def _settings(draw: st.DrawFn) -> dict[str, Variant]:
    """What `add_request` and `modify` take, nearly."""
    chosen = draw(st.lists(st.sampled_from(sorted(_SETTING_TYPES)), max_size=4, unique=True))
    entries = {key: draw(value_of(_SETTING_TYPES[key]).map(partial(Variant, _SETTING_TYPES[key]))) for key in chosen}
    if draw(st.booleans()):
        entries |= _STORAGE
    if draw(st.integers(0, 3)) == 3:
        entries[draw(keys)] = draw(variants)
    return entries


@st.composite
def _property_setting(draw: st.DrawFn) -> tuple[object, ...]:
    """Arguments of `Set`."""
    name = draw(st.sampled_from(sorted(_PROPERTY_TYPES)))
    interface = draw(st.sampled_from(["", REQUEST_INTERFACE, CA_INTERFACE]))
    return interface, name, draw(_variant_of(_PROPERTY_TYPES[name]))


_ARGUMENTS: Final = {
    "add_request": st.tuples(_settings()),
    "modify": st.tuples(_settings()),
    "Set": _property_setting(),
}
_CHANGING: Final = ("add_request", "add_request", "modify", "modify", "Set", "Set", "add_known_ca", "remove_request")


def bodies(signature: str) -> st.SearchStrategy[tuple[object, ...]]:
    """Arguments of the given types."""
    return st.tuples(*(value_of(type_) for type_ in complete_types(signature)))


@st.composite
def calls(draw: st.DrawFn) -> WireMessage:
    """Method calls; most name a method there is, on an object that has it, with the types that it takes."""
    reading = (*sorted(_METHODS), "nope", "Ping", "GetMachineId")
    member = draw(st.one_of(st.sampled_from(_CHANGING), st.sampled_from(_CHANGING), st.sampled_from(reading)))
    interface, signature = _METHODS.get(member, (PEER_INTERFACE, ""))
    path = draw(st.sampled_from(_OBJECTS.get(interface, PATHS)))
    arguments = _ARGUMENTS.get(member, bodies(signature))
    if draw(st.integers(0, 5)) == 5:
        signature = "".join(draw(st.lists(types, max_size=3)))
        arguments = bodies(signature)
    if draw(st.integers(0, 5)) == 5:
        path, interface = draw(st.sampled_from(PATHS)), draw(st.sampled_from((*_INTERFACES, "a.b")))
    return WireMessage(
        kind=MessageKind.CALL,
        serial=draw(st.integers(1, 2**32 - 1)),
        path=path,
        interface=draw(st.sampled_from([interface, interface, None])),
        member=member,
        destination=draw(st.sampled_from([None, DBUS_NAME, ":1.7"])),
        signature=signature,
        body=draw(arguments),
        no_reply_expected=draw(st.booleans()),
    )


@st.composite
def other_messages(draw: st.DrawFn) -> WireMessage:
    """Replies, errors and signals that nobody asked for."""
    kind = draw(st.sampled_from([MessageKind.REPLY, MessageKind.ERROR, MessageKind.SIGNAL]))
    signature = "".join(draw(st.lists(types, max_size=2)))
    is_signal = kind is MessageKind.SIGNAL
    return WireMessage(
        kind=kind,
        serial=draw(st.integers(1, 2**32 - 1)),
        reply_serial=None if is_signal else draw(st.integers(1, 2**32 - 1)),
        error_name="a.b.Error" if kind is MessageKind.ERROR else None,
        path=draw(st.sampled_from(PATHS)) if is_signal else None,
        interface=draw(st.sampled_from(_INTERFACES)) if is_signal else None,
        member="Changed" if is_signal else None,
        signature=signature,
        body=draw(bodies(signature)),
    )
