"""The keys of declared requests: what they are called, how they are read, and which setting they are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from yaml.nodes import Node

from certmongerd.core.errors import InvalidValue
from certmongerd.core.usages import key_usage_bits, object_identifier
from certmongerd.declared.nodes import Misread, flag, line_of, mode, number, text, texts

Value = str | bool | int | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a declared request."""

    setting: str
    """Key of `add_request` and `modify`."""
    read: Callable[[Node], Value]


def _key_usages(node: Node) -> str:
    try:
        return key_usage_bits(texts(node))
    except InvalidValue as exc:
        raise Misread(line_of(node), exc.reason) from exc


def _extended_key_usages(node: Node) -> tuple[str, ...]:
    names = texts(node)
    found = [(name, object_identifier(name)) for name in names if name]
    for name, dotted in found:
        if dotted is None:
            raise Misread(line_of(node), f'Could not evaluate OID "{name}".')
    return tuple(dotted for _, dotted in found if dotted is not None)


def _principals(node: Node) -> tuple[str, ...]:
    names = texts(node)
    for name in names:
        if "@" not in name:
            raise Misread(line_of(node), f'the principal name "{name}" needs a realm: {name}@REALM')
    return names


SETTINGS: Final[Mapping[str, Key]] = {
    "key-type": Key("KEY_TYPE", text),
    "key-size": Key("KEY_SIZE", number),
    "pin": Key("KEY_PIN", text),
    "pinfile": Key("KEY_PIN_FILE", text),
    "key-owner": Key("key-owner", text),
    "key-perms": Key("key-perms", mode),
    "cert-owner": Key("cert-owner", text),
    "cert-perms": Key("cert-perms", mode),
    "nss-user": Key("nss-user", text),
    "track": Key("TRACK", flag),
    "renew": Key("RENEW", flag),
    "profile": Key("template-profile", text),
    "ms-template-spec": Key("template-ms-certificate-template", text),
    "issuer": Key("template-issuer", text),
    "subject-name": Key("template-subject", text),
    "key-usage": Key("template-ku", _key_usages),
    "extended-key-usage": Key("template-eku", _extended_key_usages),
    "principal": Key("template-principal", _principals),
    "dns": Key("template-hostname", texts),
    "email": Key("template-email", texts),
    "ip-address": Key("template-ip-address", texts),
    "for-ca": Key("template-is-ca", flag),
    "ca-path-length": Key("template-ca-path-length", number),
    "ocsp": Key("template-ocsp", texts),
    "crl-distribution-point": Key("template-crldp", texts),
    "freshest-crl": Key("template-freshest-crl", texts),
    "ns-comment": Key("template-ns-comment", text),
    "ns-certtype": Key("template-ns-certtype", text),
    "challenge-password": Key("template-challenge-password", text),
    "challenge-password-file": Key("template-challenge-password-file", text),
    "before-command": Key("cert-presave-command", text),
    "after-command": Key("cert-postsave-command", text),
    "probe": Key("probe", text),
    "notification-method": Key("notification-method", text),
    "notification-destination": Key("notification-destination", text),
    "ca-file": Key("root-cert-files", texts),
    "other-root-file": Key("root-other-cert-files", texts),
    "chain-file": Key("other-cert-files", texts),
    "ca-dbdir": Key("root-cert-nssdbs", texts),
    "other-root-dbdir": Key("root-other-cert-nssdbs", texts),
    "chain-dbdir": Key("other-cert-nssdbs", texts),
}
"""By the name in a document: the long options of `getcert request`, and what it has no option for."""

LOCATIONS: Final = ("certfile", "keyfile", "dbdir", "nickname", "token")
"""Where key and certificate are."""

NAMES: Final = ("id", "ca")
