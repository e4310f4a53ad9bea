"""Helpers are treated as certmonger treats them: the same scripts run under both daemons, and the outcomes compared.

Where this daemon means to do otherwise, NOT_STUCK says so.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from certmonger_under_test import Certmonger
from daemon_under_test import DaemonUnderTest
from helper_cases import (
    COOKIES,
    KEY_PEM,
    NO_CERTIFICATES,
    OUTPUTS,
    STATUSES,
    cases,
    cepces_like,
    certificates_in,
    roots_texts,
    write_answers,
)

from certmongerd.installation import helper_directory

NAMES: Final = (*OUTPUTS, *NO_CERTIFICATES, *STATUSES, *(f"cookie-{name}" for name in COOKIES), "new-key", "cepces")
RESTING: Final = frozenset(
    {
        "MONITORING", "CA_REJECTED", "CA_UNREACHABLE", "CA_UNCONFIGURED", "CA_WORKING", "NEED_GUIDANCE",
        "NEED_SCEP_ENCRYPTION_CERT", "NEED_SCEP_DATA",
    }
)  # fmt: skip
DATA: Final = {
    "IDENTIFY": "printf 'Trial CA 1.0\\nmore\\n'",
    "GET-SUPPORTED-TEMPLATES": "printf 'one,two\\r\\n\\nthree,,four\\n'",
    "GET-DEFAULT-TEMPLATE": "printf 'two\\nmore\\n'",
    "GET-NEW-REQUEST-REQUIREMENTS": "printf 'CERTMONGER_REQ_SUBJECT\\ncertmonger_req_email,CERTMONGER_CA_PROFILE,X\\n'",
    "GET-RENEW-REQUEST-REQUIREMENTS": "printf 'CERTMONGER_REQ_HOSTNAME\\nCERTMONGER_REQ_IP_ADDRESS\\n'",
    "FETCH-SCEP-CA-CAPS": "printf 'POSTPKIOperation\\nRenewal,SHA-256\\nAES\\n'",
}
"""What a helper prints about its CA."""
DATA_SCRIPT: Final = "\n".join(f"{operation}) {script} ;;" for operation, script in DATA.items())
NOT_STUCK: Final = ("scep",)
"""certmonger needs somebody to go on when a SCEP server's certificates are missing; this daemon asks for them again."""
ADDED_VARIABLES: Final = {"CERTMONGER_PVT_ADDRESS"}
"""Documented in docs/helper-protocol.md."""


def record(folder: Path) -> str:
    """Lines of a script that keep the variables of each operation, once."""
    return (
        f'd={folder}/$CERTMONGER_CA_NICKNAME.$CERTMONGER_OPERATION; [ -e "$d" ] || {{ env -0 > "$d.new"; '
        f'printf "pwd=%s\\0umask=%s\\0" "$PWD" "$(umask)" >> "$d.new"; mv "$d.new" "$d"; }}\n'
    )


@dataclass
class Side:
    """One of the daemons."""

    root: Path
    getcert: Callable[..., object]
    listing: Callable[[], str]
    local_submit: str
    states: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def answers(self) -> Path:
        return self.root / "answers"

    def add_ca(self, name: str, script: str) -> None:
        self.getcert("add-ca", "-c", name, "-e", str(self._script(name, script)))

    def _script(self, name: str, text: str) -> Path:
        path = self.root / f"{name}.sh"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def request(self, name: str, ca: str, *options: str) -> None:
        (self.root / f"{name}.key").write_bytes(KEY_PEM)
        files = [("-k", "key"), ("-f", "crt"), ("-F", "roots")]
        places = [word for option, suffix in files for word in (option, str(self.root / f"{name}.{suffix}"))]
        self.getcert("request", "-I", name, "-c", ca, *places, "-N", f"CN={name}.example.org", *options)

    def prepare(self) -> None:
        write_answers(self.answers)
        for name, text in roots_texts().items():
            (self.answers / f"{name}.roots").write_text(text)
            answer = f"cat {self.answers}/{name}.roots"
            self.add_ca(f"roots-{name}", f"[ $CERTMONGER_OPERATION = FETCH-ROOTS ] || exit 6\n{answer}")
        self.add_ca("data", f'case "$CERTMONGER_OPERATION" in\n{DATA_SCRIPT}\n*) exit 6 ;;\nesac')
        issue = f'[ "$CERTMONGER_OPERATION" = POLL ] && exec cat {self.answers}/pem; printf "0\\ncookie\\n"; exit 5'
        self.add_ca(
            "recorder", f'{record(self.root)}case "$CERTMONGER_OPERATION" in SUBMIT|POLL) {issue} ;; esac\nexit 6'
        )
        self.request(
            "recorder", "recorder", "-D", "a.example.org", "-D", "b.example.org", "-E", "m@example.org",
            "-A", "192.0.2.1", "-K", "HTTP/a@EXAMPLE.ORG", "-T", "profile", "-X", "issuer", "-L", "challenge",
        )  # fmt: skip
        self.getcert("add-ca", "-c", "cepces", "-e", cepces_like(self.answers))
        self.request("cepces", "cepces", "-T", "Machine")
        scripts = "\n".join(
            f"{name})\n{case.script}\n;;" for name, case in cases(self.answers, self.local_submit).items()
        )
        self.add_ca(
            "trial",
            'case "$CERTMONGER_OPERATION" in SUBMIT|POLL) ;; *) exit 6 ;; esac\n'
            f'case "$CERTMONGER_CA_PROFILE" in\n{scripts}\nesac',
        )
        for name in cases(self.answers, self.local_submit):
            self.request(name, "trial", "-T", name)

    def settle(self) -> None:
        """Wait until every request rests."""
        deadline = time.monotonic() + 120
        while True:
            self.states = parse(self.listing())
            if {*NAMES, "recorder"} <= self.states.keys() and all(
                each["status"] in RESTING for each in self.states.values()
            ):
                return
            if time.monotonic() > deadline:
                raise AssertionError({name: each["status"] for name, each in self.states.items()})
            time.sleep(0.2)

    def ca_file(self, name: str) -> dict[str, str]:
        """The stored values of a CA."""
        for path in (self.root / "cas").iterdir():
            if path.suffix == ".tmp":
                continue  # ours replaces its files
            text = path.read_text()
            if f"\nid={name}\n" in f"\n{text}":
                return dict(re.findall(r"^(\w+)=(.*(?:\n .*)*)", text, re.MULTILINE))
        return {}

    def recorded(self, operation: str) -> dict[str, str]:
        """The variables of an operation."""
        content = (self.root / f"recorder.{operation}").read_text().replace(str(self.root), "ROOT")
        found = dict(item.split("=", 1) for item in content.split("\0") if item)
        found.pop("DBUS_SESSION_BUS_ADDRESS", None)  # only one of the daemons is on a bus
        return {name: value for name, value in found.items() if name not in ("_", "OLDPWD")}


def parse(listing: str) -> dict[str, dict[str, str]]:
    """The entries of `getcert list`."""
    found: dict[str, dict[str, str]] = {}
    fields: dict[str, str] = {}
    for line in listing.splitlines():
        start = re.match(r"Request ID '(.*)':", line)
        if start:
            fields = found[start[1]] = {}
        elif line.startswith("\t"):
            key, _, value = line.strip().partition(": ")
            fields[key.rstrip(":")] = value
    return found


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Side]]:
    """Both daemons, after they have dealt with all helpers."""
    theirs = Certmonger(tmp_path_factory.mktemp("theirs"))
    ours = DaemonUnderTest(tmp_path_factory.mktemp("ours"))
    try:
        theirs.start()
        ours.start({"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"})
        both = {
            "theirs": Side(
                theirs.root, theirs.getcert, lambda: theirs.getcert("list").stdout, "/usr/lib/certmonger/local-submit"
            ),
            "ours": Side(
                ours.root, ours.getcert, lambda: ours.getcert("list").stdout, f"{helper_directory()}/local-submit"
            ),
        }
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(Side.prepare, both.values()))
        for side in both.values():
            side.settle()
        yield both
    finally:
        theirs.stop()
        ours.close()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_becomes_of_a_request(sides: Mapping[str, Side], name: str) -> None:
    theirs, ours = (sides[which].states[name] for which in ("theirs", "ours"))
    assert ours["status"] == theirs["status"], ours.get("ca-error")
    assert ours["stuck"] == ("no" if name in NOT_STUCK else theirs["stuck"])
    if "ca-error" in theirs:
        assert ours["ca-error"] == theirs["ca-error"]


@pytest.mark.parametrize("name", [*OUTPUTS, *NO_CERTIFICATES, "cepces"])
def test_the_same_certificates_are_stored(sides: Mapping[str, Side], name: str) -> None:
    theirs, ours = (
        [certificates_in(sides[which].root / f"{name}.{suffix}") for suffix in ("crt", "roots")]
        for which in ("theirs", "ours")
    )
    assert ours == theirs
    assert bool(ours[0]) == (name not in NO_CERTIFICATES)


@pytest.mark.parametrize("name", COOKIES)
def test_a_cookie_comes_back_alike(sides: Mapping[str, Side], name: str) -> None:
    theirs, ours = ((sides[which].answers / f"{name}.seen").read_bytes() for which in ("theirs", "ours"))
    assert ours == theirs


def test_a_new_key_is_made_when_the_helper_wants_one(sides: Mapping[str, Side]) -> None:
    for side in sides.values():
        assert (side.root / "new-key.key").read_bytes() != KEY_PEM


@pytest.mark.parametrize(
    "operation",
    [*DATA, "FETCH-ROOTS", "FETCH-SCEP-CA-CERTS", "SUBMIT", "POLL"],
)
def test_a_helper_is_given_the_same(sides: Mapping[str, Side], operation: str) -> None:
    theirs, ours = (sides[which].recorded(operation) for which in ("theirs", "ours"))
    for name in ADDED_VARIABLES:
        ours.pop(name)
    assert ours.keys() == theirs.keys()
    signed = {"CERTMONGER_CSR", "CERTMONGER_SPKAC"}  # with extensions in an order and encodings of its own
    assert {n: v for n, v in ours.items() if n not in signed} == {n: v for n, v in theirs.items() if n not in signed}


@pytest.mark.parametrize(
    "key",
    [
        "ca_is_default", "ca_aka", "ca_known_profiles", "ca_default_profile", "ca_required_enroll_attributes",
        "ca_required_renewal_attributes", "ca_capabilities",
    ],
)  # fmt: skip
def test_what_a_ca_tells_is_stored_alike(sides: Mapping[str, Side], key: str) -> None:
    theirs, ours = (sides[which].ca_file("data").get(key) for which in ("theirs", "ours"))
    assert ours == theirs


@pytest.mark.parametrize("name", [*(f"roots-{name}" for name in roots_texts()), "cepces"])
def test_roots_are_stored_alike(sides: Mapping[str, Side], name: str) -> None:
    theirs, ours = (
        {key: value for key, value in sides[which].ca_file(name).items() if "certs" in key or "profiles" in key}
        for which in ("theirs", "ours")
    )
    assert ours == theirs
    assert "ca_root_certs" in ours
