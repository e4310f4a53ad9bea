"""Asks the daemon for a certificate in the way of linux-system-roles.certificate: the same calls in the same order.

Run by Debian's interpreter, with python3-dbus and python3-cryptography: certificate_role.py WANTED, where WANTED is
JSON; prints JSON. What the role does was looked up in its source; this text is our own.
"""

import importlib
import ipaddress
import json
import os
import shutil
import subprocess
import sys
from typing import Any

from cryptography import x509

dbus: Any = importlib.import_module("dbus")  # Debian's; a type checker would take the folder of that name for it

NAME = "org.fedorahosted.certmonger"
NAMES_IN_DN = {
    "country": ("C", x509.NameOID.COUNTRY_NAME),
    "organization": ("O", x509.NameOID.ORGANIZATION_NAME),
    "common_name": ("CN", x509.NameOID.COMMON_NAME),
}
USAGES = {
    "digital_signature": "digitalSignature",
    "content_commitment": "nonRepudiation",
    "key_encipherment": "keyEncipherment",
    "data_encipherment": "dataEncipherment",
    "key_agreement": "keyAgreement",
}


def program(name: str) -> str:
    """A program as Ansible finds it."""
    found = shutil.which(name)
    assert found is not None, name
    return found


def tracked_at(path: str) -> dict[str, Any]:
    """The request for the certificate file *path*; empty when there is none."""
    bus = dbus.SystemBus()
    manager = bus.get_object(NAME, "/org/fedorahosted/certmonger")
    for request in manager.get_requests(dbus_interface=NAME):
        properties = dbus.Interface(bus.get_object(NAME, request), "org.freedesktop.DBus.Properties")
        values = properties.getAll(NAME + ".request")
        ca = bus.get_object(NAME, values.get("ca").replace("requests", "cas"))
        values["ca"] = str(ca.get_nickname(dbus_interface=NAME + ".ca"))
        if values["cert-file"] == path:
            return dict(values)
    return {}


def described(csr: x509.CertificateSigningRequest) -> dict[str, Any]:
    """What a signing request asks for."""
    found: dict[str, Any] = {}
    parts = ((short, csr.subject.get_attributes_for_oid(oid)) for short, oid in NAMES_IN_DN.values())
    found["subject"] = ",".join(f"{short}={values[0].value!s}" for short, values in parts if values)
    for extension in csr.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            found["dns"] = value.get_values_for_type(x509.DNSName)
            found["email"] = value.get_values_for_type(x509.RFC822Name)
            found["ip"] = [str(address) for address in value.get_values_for_type(x509.IPAddress)]
        elif isinstance(value, x509.ExtendedKeyUsage):
            found["extended_key_usage"] = [oid.dotted_string for oid in value]
        elif isinstance(value, x509.KeyUsage):
            found["key_usage"] = sorted(name for attribute, name in USAGES.items() if getattr(value, attribute))
    return {name: value for name, value in found.items() if value}


def wanted_like(wanted: dict[str, Any]) -> dict[str, Any]:
    """*wanted* in the form of `described`."""
    subject = ",".join(f"{short}={wanted[name]}" for name, (short, _) in NAMES_IN_DN.items() if wanted.get(name))
    parts = {name: wanted.get(name) for name in ("dns", "email", "ip", "extended_key_usage")}
    parts["ip"] = [str(ipaddress.ip_address(text)) for text in wanted.get("ip", [])]
    return {
        "subject": subject,
        "key_usage": sorted(wanted["key_usage"]),
        **{name: value for name, value in parts.items() if value},
    }


def with_last_empty(option: str, values: list[str]) -> list[str]:
    """An option with each value and then with none, as the role gives those that take several."""
    return [word for value in (*values, "") for word in (option, value)]


def request(wanted: dict[str, Any], path: str, known: dict[str, Any]) -> None:
    """Ask for a certificate, or ask again."""
    getcert = program("getcert")
    command = [getcert, "resubmit" if known else "request", "-N", wanted_like(wanted)["subject"], "-c", wanted["ca"]]
    command += ["-w"] if wanted["wait"] else []
    command += [] if known else ["-k", path.removesuffix(".crt") + ".key"]
    command += ["-f", path, *with_last_empty("-D", wanted.get("dns", [])), *with_last_empty("-A", wanted.get("ip", []))]
    command += with_last_empty("-E", wanted.get("email", []))
    renew = "-r" if wanted["auto_renew"] else "-R"
    if known:
        subprocess.run([getcert, "start-tracking", "-f", path, renew], check=True, stdout=subprocess.PIPE)
    else:
        command.append(renew)
    version = subprocess.run([program("certmonger"), "--version"], capture_output=True, text=True, check=True)
    assert not version.stderr
    numbers = tuple(int(number) for number in version.stdout.split(" ")[1].split("."))
    assert numbers >= (0, 79, 0), version.stdout
    command += ["-g", str(wanted["key_size"]), *with_last_empty("-K", wanted.get("principal", []))]
    command += [word for usage in wanted["key_usage"] for word in ("-u", usage)]
    command += with_last_empty("-U", wanted["extended_key_usage"])
    command += ["-B", wanted.get("run_before", ""), "-C", wanted.get("run_after", "")]
    subprocess.run(command, check=True, stdout=subprocess.PIPE)


def main() -> None:
    wanted = json.loads(sys.argv[1])
    path = wanted["name"] + ".crt"
    known = tracked_at(path)
    is_as_wanted = False
    if os.path.exists(path):
        csr = x509.load_pem_x509_csr(known["csr"].encode())
        is_as_wanted = described(csr) == wanted_like(wanted) and known["ca"] == wanted["ca"]
        is_as_wanted = is_as_wanted and bool(int(known.get("autorenew", "0"))) == wanted["auto_renew"]
    if not is_as_wanted:
        request(wanted, path, known)
    print(json.dumps({"changed": not is_as_wanted, "was_known": bool(known)}))


main()
