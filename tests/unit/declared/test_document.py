"""Reading documents that declare CAs and requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.declared.document import Document, join_documents, read_document

EVERYTHING = """\
defaults:
  ca: corp
  after-command: systemctl reload nginx
cas:
  - name: corp
    command: /usr/libexec/corp-submit --fast
    default: true
    ca-file: [/etc/corp.pem]
  - {name: scep, url: "https://scep.example.org/x", ca-cert: /etc/tls.pem, identifier: a b, scep-cipher: AES256,
     non-renewal: yes}
requests:
  - id: web
    certfile: /etc/web.crt
    keyfile: /etc/web.key
    key-type: EC
    key-size: 384
    key-perms: 0640
    cert-perms: "644"
    subject-name: CN=web.example.org
    dns: [web.example.org, 2.example.org]
    key-usage: [digitalSignature, keyEncipherment]
    extended-key-usage: id-kp-serverAuth
    principal: HTTP/web@EXAMPLE.ORG
    ip-address: []
    renew: no
    chain-file: /etc/chain.pem
  - id: db
    ca: local
    dbdir: sql:/etc/nss
    nickname: db
    token: NSS
    pin: 1234
"""


def read(text: str) -> Document:
    return read_document("a.yaml", text, "/helpers")


def test_everything_is_read() -> None:
    document = read(EVERYTHING)
    assert document.mistakes == ()
    corp, scep = document.cas
    assert (corp.name, corp.command, corp.is_default) == ("corp", "/usr/libexec/corp-submit --fast", True)
    assert corp.locations == {"root_files": ("/etc/corp.pem",)}
    assert scep.command == "/helpers/scep-submit -u https://scep.example.org/x -R /etc/tls.pem -i 'a b' -n"
    assert (scep.scep_ca_identifier, scep.scep_cipher, scep.scep_digest) == ("a b", "AES256", None)
    web, db = document.requests
    assert (web.name, web.ca, str(web.place)) == ("web", "corp", "a.yaml:12")
    assert web.storage == {
        "CERT_STORAGE": "FILE",
        "CERT_LOCATION": "/etc/web.crt",
        "KEY_STORAGE": "FILE",
        "KEY_LOCATION": "/etc/web.key",
    }
    assert web.settings == {
        "KEY_TYPE": "EC",
        "KEY_SIZE": 384,
        "key-perms": 0o640,
        "cert-perms": 0o644,
        "template-subject": "CN=web.example.org",
        "template-hostname": ("web.example.org", "2.example.org"),
        "template-ku": "101",
        "template-eku": ("1.3.6.1.5.5.7.3.1",),
        "template-principal": ("HTTP/web@EXAMPLE.ORG",),
        "template-ip-address": (),
        "RENEW": False,
        "cert-postsave-command": "systemctl reload nginx",
        "other-cert-files": ("/etc/chain.pem",),
    }
    assert db.ca == "local"
    assert db.settings == {"KEY_PIN": "1234", "cert-postsave-command": "systemctl reload nginx"}
    assert db.storage["KEY_TOKEN"] == "NSS"


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "requests: []\ncas: []\n"])
def test_nothing_may_be_declared(text: str) -> None:
    assert read(text) == Document()


def test_what_a_request_says_itself_wins_over_the_defaults() -> None:
    document = read(
        "defaults: {pinfile: /pin, renew: true}\nrequests:\n- {id: a, certfile: /a, pin: x, renew: false}\n"
    )
    assert document.requests[0].settings == {"KEY_PIN": "x", "RENEW": False}


REQUEST = "requests:\n- id: a\n  certfile: /a.crt\n"


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("- a\n", "a.yaml:1: the document has to be a mapping"),
        ("request: []\n", "a.yaml:1: request is not a key that is known in the document"),
        ("requests: {}\n", "a.yaml:1: requests has to be a list"),
        ("requests:\n- a\n", "a.yaml:2: a request has to be a mapping"),
        ("requests:\n- {certfile: /a}\n", "a.yaml:2: a request needs a name (id)"),
        ("requests:\n- id: a\n", "a.yaml:2: a request needs certfile"),
        ("requests:\n- {id: a, certfile: /a, nickname: n}\n", "a.yaml:2: nickname belongs to an NSS database"),
        (REQUEST + "  colour: red\n", "a.yaml:4: colour is not a key that is known in a request"),
        (REQUEST + "  dns: a\n  dns: b\n", "a.yaml:5: dns is there already"),
        (REQUEST + "  dns:\n  - a\n  - [b]\n", "a.yaml:6: dns: a text is expected"),
        (REQUEST + "  dns:\n", "a.yaml:4: dns: a text is expected"),
        (REQUEST + "  issuer: yes\n", "a.yaml:4: issuer: a text is expected; put yes into quotes"),
        (REQUEST + '  issuer: "a\\x01"\n', "a.yaml:4: issuer: a text without control characters"),
        (REQUEST + "  renew: 1\n", "a.yaml:4: renew: true or false is expected"),
        (REQUEST + "  key-size: many\n", "a.yaml:4: key-size: a number is expected"),
        (REQUEST + "  key-size: 0x800\n", "a.yaml:4: key-size: a number is expected"),
        (REQUEST + "  key-perms: rw\n", "a.yaml:4: key-perms: a file mode in octal digits"),
        (REQUEST + "  key-usage: flying\n", 'a.yaml:4: key-usage: Unrecognized keyUsage "flying".'),
        (REQUEST + "  extended-key-usage: 1.x\n", "a.yaml:4: extended-key-usage: Could not evaluate OID"),
        (REQUEST + "  principal: HTTP/web\n", "a.yaml:4: principal: the principal name"),
        (REQUEST + "  pin: x\n  pinfile: /x\n", "a.yaml:4: pin and pinfile exclude each other"),
        (REQUEST + "- id: A\n  certfile: /b.crt\n", 'a.yaml:4: request "A" is declared already, at a.yaml:2'),
        ("defaults: {certfile: /a}\n", "a.yaml:1: certfile is not a key that is known in defaults"),
        ("cas:\n- {command: x}\n", "a.yaml:2: a CA needs a name (name)"),
        ("cas:\n- {name: a, command: x, url: y}\n", "a.yaml:2: command and url exclude each other"),
        ("cas:\n- {name: a, url: 'https://x'}\n", "a.yaml:2: https needs ca-cert or system-trust"),
        ("cas:\n- {name: a, ra-cert: /x}\n", "a.yaml:2: ra-cert belongs to a SCEP server"),
        ("cas:\n- {name: a, url: x, scep-cipher: ROT13}\n", "a.yaml:2: scep-cipher: Unknown SCEP cipher"),
        ("cas:\n- {name: a, url: x, ca-cert: /x, system-trust: true}\n", "a.yaml:2: ca-cert and system-trust exclude"),
        ("requests: [\n", "a.yaml:2: expected the node content"),
        ("a: *b\n", "a.yaml:1: found undefined alias"),
        ("a: 1\n---\nb: 2\n", "a.yaml:2: but found another document"),
        ("\x00", "a.yaml:1: is not YAML"),
        ("[" * 100_000, "a.yaml:1: is nested too deeply"),
        ("? [a]\n: b\n", "a.yaml:1: a key of the document has to be a word"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, mistake: str) -> None:
    document = read(text)
    assert len(document.mistakes) == 1
    assert document.mistakes[0].startswith(mistake)


def test_all_mistakes_are_told_at_once() -> None:
    document = read(REQUEST + "  renew: 1\n  colour: red\n- id: b\n- id: c\n  certfile: /c\n  key-size: x\n")
    assert [mistake.split(": ")[0] for mistake in document.mistakes] == [
        "a.yaml:4", "a.yaml:5", "a.yaml:6", "a.yaml:9"
    ]  # fmt: skip


def test_two_documents_do_not_declare_the_same() -> None:
    other = read_document("b.yaml", REQUEST, "")
    joined = join_documents([read(REQUEST), other])
    assert joined.mistakes == ('b.yaml:2: request "a" is declared already, at a.yaml:2',)


def test_a_pin_is_not_shown_by_a_mistake() -> None:
    assert "geheim" not in str(read(REQUEST + "  pin: [geheim]\n  pinfile: [x]\n").mistakes)


@given(st.text(st.sampled_from("requests: cas-[]{}&*!|>'\"\n\t#%@,idcertfile/a0")))
def test_any_text_gives_a_document(text: str) -> None:
    assert isinstance(read(text), Document)
