"""Bad calls other than dictionaries for add_request, and the answers they get.

Where certmonger sent no reply at all, the answer is ours.
"""

from collections.abc import Callable
from typing import Final

import pytest
from fakes.caller import Client, s, texts, x
from fakes.service import FakeService

from certmongerd.api import CA_INTERFACE, PROPERTIES_INTERFACE, REQUEST_INTERFACE, ROOT_INTERFACE, ROOT_PATH
from certmongerd.busapi.transport import Decoder, MessageKind, Variant, WireMessage, encode
from certmongerd.core.errors import RemoteProtocolError

pytestmark = pytest.mark.usefixtures("library")

CM: Final = "org.fedorahosted.certmonger."
DBUS: Final = "org.freedesktop.DBus.Error."
INVALID: Final = DBUS + "InvalidArgs"
MUST_BE_ABSOLUTE: Final = 'The location "{}" must be an absolute path.'
MUST_BE_DIRECTORY: Final = 'The location "{}" must be a directory.'


@pytest.mark.parametrize(
    ("signature", "body"),
    [
        ("", ()),
        ("s", ("x",)),
        ("a{ss}", ({"CERT_STORAGE": "FILE"},)),
        ("av", ((Variant("s", "x"),),)),
        ("a{sv}s", ({"CERT_STORAGE": Variant("s", "FILE")}, "x")),
        ("a{sv}", ({},)),
    ],
)
@pytest.mark.parametrize(
    ("interface", "member", "path"),
    [(ROOT_INTERFACE, "add_request", ROOT_PATH), (REQUEST_INTERFACE, "modify", "request")],
)
async def test_unparsable_dictionaries_are_answered(
    signature: str,
    body: tuple[object, ...],
    interface: str,
    member: str,
    path: str,
    client: Client,
    base: dict[str, Variant],
) -> None:
    added = await client.add(base)

    name, _ = await client.error(added if path == "request" else path, interface, member, signature, body)

    assert name == INVALID


UNSUPPORTED: Final = [
    Variant("y", 1),
    Variant("q", 1),
    Variant("u", 1),
    Variant("t", 1),
    Variant("d", 1.5),
    Variant("g", "s"),
    Variant("v", Variant("s", "x")),
    Variant("(ss)", ("a", "b")),
    Variant("ai", (1,)),
    Variant("ao", ("/a",)),
    Variant("aas", (("a",),)),
]


@pytest.mark.parametrize("variant", UNSUPPORTED, ids=lambda variant: variant.signature)
async def test_values_of_types_that_mean_nothing_are_named(
    variant: Variant, client: Client, base: dict[str, Variant]
) -> None:
    """Also under a key nobody knows."""
    path = await client.add(base)
    entries = base | {"unheard-of": variant}

    for where, interface, member in ((ROOT_PATH, ROOT_INTERFACE, "add_request"), (path, REQUEST_INTERFACE, "modify")):
        name, body = await client.error(where, interface, member, "a{sv}", (entries,))
        assert name == INVALID
        assert "unheard-of" in str(body[0])


def test_strings_that_are_not_utf8_do_not_reach_the_interface() -> None:
    call = WireMessage(kind=MessageKind.CALL, serial=1, path="/", member="m", signature="s", body=("name",))

    with pytest.raises(RemoteProtocolError):
        Decoder().feed(encode(call).replace(b"name", b"\xff\xfe\xfd\xfc"))


@pytest.mark.parametrize(
    "entries",
    [
        {"KEY_SIZE": x(0)},
        {"unknown-key": s("x"), "status": s("MONITORING"), "aka": s("y")},
        {"SUBJECT": s("not a DN")},
        {"KEY_TYPE": x(1)},
        {"TRACK": x(0), "CA": x(7), "KEY_SIZE": s("4096")},
    ],
)
async def test_harmless_oddities_are_accepted(
    entries: dict[str, Variant], client: Client, base: dict[str, Variant]
) -> None:
    """A wrong type counts as absent."""
    path = await client.add(base | entries)

    assert await client.get(path, "monitoring") is True


@pytest.mark.parametrize(
    ("key", "variant"),
    [
        ("nope", s("x")),
        ("TRACK", x(1)),
        ("eku", Variant("as", ())),
        ("KEY_STORAGE", s("FILE")),
        ("KEY_LOCATION", s("/tmp/x")),
        ("KEY_TOKEN", s("x")),
        ("CERT_STORAGE", s("FILE")),
        ("CERT_LOCATION", s("/tmp/x")),
        ("CERT_NICKNAME", s("x")),
        ("cert-file", s("/tmp/x")),
        ("Status", s("MONITORING")),
        ("ca-error", s("x")),
        ("cert-presave-uid", s("0")),
        ("NICKNAME", x(1)),
        ("CA", x(1)),
    ],
)
async def test_modify_names_the_key_it_does_not_know(
    key: str, variant: Variant, client: Client, service: FakeService, base: dict[str, Variant]
) -> None:
    """Nothing else of the dictionary is applied."""
    path = await client.add(base)
    before = dict(service.requests())

    name, body = await client.error(
        path, REQUEST_INTERFACE, "modify", "a{sv}", ({"SUBJECT": s("CN=new"), key: variant},)
    )

    assert (name, body) == (CM + "request.bad_arg", ("Unrecognized parameter or wrong value type.", key))
    assert dict(service.requests()) == before


@pytest.mark.usefixtures("crowded")
@pytest.mark.parametrize(
    ("entries", "error", "text", "key"),
    [
        ({"CA": s("/nope")}, "bad_arg", 'Certificate authority "/nope" not known.', "CA"),
        ({"CA": s("local")}, "bad_arg", 'Certificate authority "local" not known.', "CA"),
        (
            {"NICKNAME": s("nick")},
            "duplicate",
            'There is already a request with the nickname "Nick".',
            ("NICKNAME",),
        ),
        ({"KEY_PIN_FILE": s("rel")}, "bad_arg", MUST_BE_ABSOLUTE.format("rel"), "KEY_PIN_FILE"),
        ({"KEY_TYPE": s("DSA")}, "bad_arg", 'No support for key type "DSA".', "KEY_TYPE"),
        ({"other-cert-files": texts("rel")}, "bad_arg", MUST_BE_ABSOLUTE.format("rel"), "other-cert-files"),
        ({"root-cert-nssdbs": texts("/no")}, "bad_arg", MUST_BE_DIRECTORY.format("/no"), "root-cert-nssdbs"),
    ],
)
async def test_modify_refuses_bad_values(
    entries: dict[str, Variant], error: str, text: str, key: object, client: Client, base: dict[str, Variant]
) -> None:
    path = await client.add(base)

    name, body = await client.error(path, REQUEST_INTERFACE, "modify", "a{sv}", (entries,))

    assert (name, body) == (CM + error, (text, key))


@pytest.mark.usefixtures("crowded")
async def test_a_ca_nickname_in_use_is_refused_without_regard_to_case(client: Client) -> None:
    name, body = await client.error(ROOT_PATH, ROOT_INTERFACE, "add_known_ca", "ssas", ("ipa", "/bin/true", ()))

    assert (name, body) == (CM + "duplicate", ('There is already a CA with the nickname "IPA".', ()))


@pytest.mark.usefixtures("crowded")
@pytest.mark.parametrize("member", ["remove_known_ca", "remove_request"])
@pytest.mark.parametrize("kind", ["requests/Request1", "cas/CA1", "requests/Request99", "cas/CA01"])
async def test_only_what_exists_can_be_removed(member: str, kind: str, client: Client, service: FakeService) -> None:
    wanted = {"remove_known_ca": "cas/CA1", "remove_request": "requests/Request1"}
    if kind == wanted[member]:
        assert await client.call(ROOT_PATH, ROOT_INTERFACE, member, "o", (f"{ROOT_PATH}/{kind}",)) == (True,)

    name, body = await client.error(ROOT_PATH, ROOT_INTERFACE, member, "o", (f"{ROOT_PATH}/{kind}",))

    assert (name, body) == (CM + "no_such_entry", ("No matching entry found.\n",))


@pytest.mark.parametrize("member", ["remove_known_ca", "remove_request"])
@pytest.mark.parametrize(("signature", "body"), [("s", (ROOT_PATH,)), ("", ())])
async def test_removal_wants_a_path(member: str, signature: str, body: tuple[object, ...], client: Client) -> None:
    name, _ = await client.error(ROOT_PATH, ROOT_INTERFACE, member, signature, body)

    assert name == INVALID


@pytest.mark.usefixtures("crowded")
@pytest.mark.parametrize("member", ["find_ca_by_nickname", "find_request_by_nickname"])
@pytest.mark.parametrize("nickname", ["nobody", "nick", "ipa", ""])
async def test_an_unknown_nickname_is_found_nowhere_without_error(member: str, nickname: str, client: Client) -> None:
    """The comparison is exact."""
    assert await client.call(ROOT_PATH, ROOT_INTERFACE, member, "s", (nickname,)) == ()


def on_root(_: str) -> str:
    return ROOT_PATH


def on_request(path: str) -> str:
    return path


def on_ca(_: str) -> str:
    return f"{ROOT_PATH}/cas/CA1"


@pytest.mark.usefixtures("crowded")
@pytest.mark.parametrize("where", [on_root, on_request, on_ca])
async def test_get_of_unknown_properties_is_refused_alike_everywhere(
    where: Callable[[str], str], client: Client, base: dict[str, Variant]
) -> None:
    path = where(await client.add(base))

    for interface, name in (("", "nope"), ("a.b", "nickname"), (CA_INTERFACE, "csr"), ("", "Nickname")):
        found = await client.error(path, PROPERTIES_INTERFACE, "Get", "ss", (interface, name))
        assert found == (CM + "request.bad_arg", ("Unrecognized property name.", name))
    for signature, body in (("s", ("x",)), ("", ()), ("sss", ("a", "b", "c"))):
        found = await client.error(path, PROPERTIES_INTERFACE, "Get", signature, body)
        assert found == (CM + "request.bad_arg", ("Error parsing arguments.", ""))


@pytest.mark.parametrize(
    ("signature", "body", "error"),
    [
        ("ssv", ("", "nope", s("x")), "UnknownProperty"),
        ("ssv", ("a.b", "nss-user", s("x")), "UnknownProperty"),
        ("ssv", ("", "status", s("MONITORING")), "PropertyReadOnly"),
        ("ssv", (REQUEST_INTERFACE, "root-cert-files", texts()), "PropertyReadOnly"),
        ("ssv", ("", "nss-user", x(1)), "InvalidArgs"),
        ("ssv", ("", "key-perms", Variant("u", 1)), "InvalidArgs"),
        ("ssv", ("", "key-pin-file", s("relative")), "InvalidArgs"),
        ("ssv", ("", "template-eku", s("1.2.3")), "InvalidArgs"),
        ("sss", ("", "nss-user", "x"), "InvalidArgs"),
        ("", (), "InvalidArgs"),
    ],
)
async def test_every_failed_set_is_answered(
    signature: str, body: tuple[object, ...], error: str, client: Client, base: dict[str, Variant]
) -> None:
    path = await client.add(base)

    name, _ = await client.error(path, PROPERTIES_INTERFACE, "Set", signature, body)

    assert name == DBUS + error


@pytest.mark.parametrize(
    ("path", "interface", "member", "signature", "shown"),
    [
        (ROOT_PATH, ROOT_INTERFACE, "nope", "", ROOT_INTERFACE),
        (ROOT_PATH, ROOT_INTERFACE, "Get_Requests", "", ROOT_INTERFACE),
        (ROOT_PATH, "a.b", "get_requests", "", "a.b"),
        (ROOT_PATH, None, "nope", "s", "(null)"),
        ("/nope", ROOT_INTERFACE, "get_requests", "", ROOT_INTERFACE),
        (f"{ROOT_PATH}/requests/Request99", REQUEST_INTERFACE, "get_status", "", REQUEST_INTERFACE),
        (f"{ROOT_PATH}/requests", PROPERTIES_INTERFACE, "GetAll", "s", PROPERTIES_INTERFACE),
        ("/", PROPERTIES_INTERFACE, "Get", "", PROPERTIES_INTERFACE),
    ],
)
async def test_unknown_things_are_unknown_methods_in_the_words_of_libdbus(
    path: str, interface: str | None, member: str, signature: str, shown: str, client: Client
) -> None:
    found = await client.error(path, interface, member, signature, ("x",) * len(signature))

    text = f'Method "{member}" with signature "{signature}" on interface "{shown}" doesn\'t exist\n'
    assert found == (DBUS + "UnknownMethod", (text,))
