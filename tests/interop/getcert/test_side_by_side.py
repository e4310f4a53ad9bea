"""certmonger's getcert and this one, command by command, each against a fresh daemon of this project.

The recorded transcripts show what certmonger's client does with its own daemon; this compares the two clients where
scripts may lean on details: odd selections, doubled options, client-side checks, their order, streams and statuses.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from cli.rig import OWN, Rig, installed, running

ORIGINAL_CLIENT = "/usr/bin/getcert"
COMMANDS = """
list
list -r
list -t
list -rt
list -u
list -v
list -vv
list -c SelfSign
list -c local
list -i two
list -f {d}/one.crt
list -f {d}/nodir/x
list -d {d}/nss
list -d {d}/nss -n x
list -n x
list -f one.crt
list extra
list -c
list --ca
list --utc=1
list -i one -i two
status -i one
status -v -i one
status -i one -f {d}/two.crt
status -f {d}/one.crt
status -d {d}/nss
status -n x
status -d {d}/nss -n x
status -f /nonexistent/x
status -i ONE
status extra
list-cas
list-cas -c nosuch
list-cas -c local
list-cas -c local -c SelfSign
list-cas x
add-ca
add-ca -c new
add-ca -e /bin/true
add-ca -c new -e /bin/true
add-ca -c NEW -e /bin/true
add-ca -c "" -e /bin/true
add-ca -c empty -e ""
modify-ca -c NEW -e /bin/false
modify-ca -c new
modify-ca -c SelfSign -e /bin/true
refresh-ca
refresh-ca -a
refresh-ca -c new
remove-ca
remove-ca -c nosuch
remove-ca -c new
add-scep-ca
add-scep-ca -c sc
add-scep-ca -u http://x/
add-scep-ca -c sc -u http://127.0.0.1:9/x
add-scep-ca -c sc -u http://127.0.0.1:9/x
add-scep-ca -c sc3 -u https://127.0.0.1:9/x -R /nonexistent
add-scep-ca -c sc3 -u http://127.0.0.1:9/x -r {d}/pin
add-scep-ca -c sc3 -u http://127.0.0.1:9/x -N {d}/root-ca.pem -I {d}/root-ca.pem -i 'a b' -n
request -f {d}/one.crt -k {d}/three.key
request -f {d}/q.crt -k {d}/one.key
request -f {d}/q.crt -k {d}/q.key -c nosuch
request -f {d}/q.crt -k {d}/q.crt
request -f {d}/q.crt -k {d}/q.key -I one
request -f {d}/q.crt -k {d}/q.key -u bogus
request -f {d}/q.crt -k {d}/q.key -U bogus
request -f {d}/q.crt -k {d}/q.key -A bogus
request -f {d}/q.crt -k {d}/q.key --ca-path-length x
request -f {d}/q.crt -k {d}/q.key --wait-timeout x
request -f {d}/q.crt -k {d}/q.key -K a@b@c
request -f {d}/q.crt -k {d}/q.key -N bad=,
request -f {d}/q.crt -k {d}/q.key -F /nonexistent/x.pem -c SelfSign
request -f {d}/q.crt -k {d}/q.key -a /nonexistent -c SelfSign
request -k {d}/q.key
request -d {d}/nss
request -n x
request -d {d}/nss -n x -f {d}/q.crt
request
request -f
start-tracking -f {d}/q.crt
start-tracking -i one -R
start-tracking -i one -r -C /bin/true
start-tracking -i one -I renamed
start-tracking -i renamed -I one
start-tracking -i one -I two
start-tracking -i nosuch
start-tracking -f {d}/one.crt -k {d}/one.key
start-tracking
start-tracking -k {d}/one.key
resubmit
resubmit -i nosuch
resubmit -i one -c nosuch
resubmit -i one -I two
rekey
refresh
refresh -a
refresh -i one
refresh -c nosuch -a
refresh -f {d}/two.crt
stop-tracking
stop-tracking -i nosuch
stop-tracking -f {d}/nosuch.crt
stop-tracking -i one -I x
stop-tracking -f {d}/two.crt
""".strip().splitlines()
NEWER_STATUS = 2
"""Of duplicates, since certmonger 0.79.20."""
_OWN_LINES = re.compile(r"\t(?:next attempt|(?:key|certificate) (?:owner|permissions)|.* thumbprint \(SHA256\)): .*\n")
_VOLATILE = (
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "DATE"),
    (re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{8}){3}"), "UUID"),
    (re.compile(r"\b\d{14}(?:-\d+)?\b"), "ID"),
    (re.compile(r"next-serial-number: \S+"), "next-serial-number: N"),
)


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str


def comparable(text: str, rig: Rig) -> str:
    """Output without what differs from run to run; of a help only what stands before it."""
    text = text.replace(str(rig.directory), "<DIR>")
    text = _OWN_LINES.sub("", text)
    for pattern, word in _VOLATILE:
        text = pattern.sub(word, text)
    if "Usage:" in text:
        before = text.partition("Usage:")[0].strip().splitlines()
        complaints = [
            line for line in before if line.startswith(("Error", "None ", "CA ", "server ", "Database ", "Key "))
        ]
        return "\n".join((*complaints, "<HELP>"))
    return text


def outcomes(program: str) -> dict[int, Outcome]:
    """What each command gave, one after the other, beginning with two certificates."""
    with running(OWN) as rig:
        for name in ("one", "two"):
            files = ("-f", f"{rig.directory}/{name}.crt", "-k", f"{rig.directory}/{name}.key")
            command = ("request", "-s", "-c", "SelfSign", "-I", name, *files, "-N", f"CN={name}", "-w")
            assert rig.run([program, *command]).returncode == 0
        found = {}
        for number, line in enumerate(COMMANDS):
            verb, *rest = shlex.split(line.format(d=rig.directory))
            done = rig.run([program, verb, "-s", *rest], cwd=rig.directory)
            found[number] = Outcome(done.returncode, comparable(done.stdout, rig), comparable(done.stderr, rig))
        return found


@pytest.fixture(scope="module")
def both() -> tuple[Mapping[int, Outcome], Mapping[int, Outcome]]:
    return outcomes(ORIGINAL_CLIENT), outcomes(installed("getcert"))


@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=[f"{n}: {line}" for n, line in enumerate(COMMANDS)])
def test_both_clients_do_and_say_the_same(
    both: tuple[Mapping[int, Outcome], Mapping[int, Outcome]], number: int
) -> None:
    original, own = (outcome[number] for outcome in both)
    assert (own.out, own.err) == (original.out, original.err)
    is_duplicate = "already" in own.out and original.status == 1
    assert own.status == (NEWER_STATUS if is_duplicate else original.status)
