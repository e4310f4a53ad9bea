"""Where FreeIPA is: options, and /etc/ipa/default.conf where they say nothing."""

import argparse
import configparser
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from certmonger_helpers.outcome import Unconfigured

DEFAULT_CONFIG: Final = "/etc/ipa/default.conf"
DEFAULT_CA_FILE: Final = "/etc/ipa/ca.crt"
_SECTION: Final = "global"
_MAX_CONFIG_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class IpaSettings:
    """Where to send calls to."""

    url: str
    """Of the JSON-RPC interface; empty when nothing names one."""
    other_hosts: tuple[str, ...]
    """Further servers that the configuration names."""
    domain: str
    ldap_url: str = ""
    """Of the directory; empty when there is no server."""
    base_dn: str = ""
    """Of the domain; empty when it is not known."""


def read_config(path: str) -> dict[str, str]:
    """Section `[global]` of IPA's configuration; empty when there is no file. Raises Unconfigured."""
    parser = configparser.RawConfigParser(strict=False, default_section="")
    try:
        with Path(path).open("rb") as stream:
            text = stream.read(_MAX_CONFIG_BYTES).decode("utf-8", "replace")
        parser.read_string(text, path)
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise Unconfigured(f"{path} cannot be read: {exc.strerror}") from exc
    except configparser.Error as exc:
        raise Unconfigured(f"{path}: {' '.join(str(exc).split())}") from exc
    return dict(parser[_SECTION]) if parser.has_section(_SECTION) else {}


def ipa_settings(options: argparse.Namespace, config: dict[str, str]) -> IpaSettings:
    """What *options* and *config* say together."""
    given_url = options.jsonrpc_url
    host = options.host or config.get("host", "")
    if config.get("server") and not given_url and not options.host:
        url = json_url(config["server"])
    elif given_url or (config.get("jsonrpc_uri") and not options.host):
        url = given_url or config["jsonrpc_uri"]
    elif config.get("xmlrpc_uri") and not options.host:
        xml = config["xmlrpc_uri"]
        url = f"{xml.removesuffix('xml')}json" if xml.endswith("xml") else xml
    else:
        url = json_url(host) if host else ""
    ldap = urlsplit(options.ldap_url or config.get("ldap_uri", "")).hostname
    domain = options.domain or config.get("domain", "")
    return IpaSettings(
        url=url,
        other_hosts=(ldap,) if ldap else (),
        domain=domain,
        ldap_url=_ldap_url(options.ldap_url or config.get("ldap_uri", ""), urlsplit(url).hostname or ""),
        base_dn=options.basedn
        or config.get("basedn", "")
        or ",".join(f"dc={part}" for part in domain.split(".") if part),
    )


def _ldap_url(given: str, host: str) -> str:
    """The address of the directory: as given, unless it is a socket of the server's own, else that of the server."""
    if urlsplit(given).scheme in {"ldap", "ldaps"}:
        return given
    return f"ldap://{host}" if host else ""


def json_url(host: str) -> str:
    """The address of the JSON-RPC interface of a server."""
    return f"https://{host}/ipa/json"


def default_ca_file(options: argparse.Namespace) -> str | None:
    """The file of trusted certificates: as given, else IPA's unless a directory was given, else none."""
    if options.cafile:
        return str(options.cafile)
    return DEFAULT_CA_FILE if not options.capath and Path(DEFAULT_CA_FILE).exists() else None
