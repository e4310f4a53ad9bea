"""acme-submit and a real pebble: orders, challenges, accounts."""

import json
import os
import shlex
import socket
import stat
import sys
from pathlib import Path

from acme_client import KEY, AcmeClient, signing_request
from acme_server import EAB_KEY, EAB_KID, AcmeServer, running_pebble, running_program
from cryptography import x509

HOOK = """#!{python} -I
import json, sys, urllib.request
action, name, value = sys.argv[1:]
order = {{"present": ("set-txt", {{"host": name, "value": value}}), "cleanup": ("clear-txt", {{"host": name}})}}[action]
with open({log!r}, "a") as log:
    print(action, name, file=log)
if {fails!r}:
    sys.exit("the zone is locked")
request = urllib.request.Request("{dns}/" + order[0], data=json.dumps(order[1]).encode())
urllib.request.urlopen(request).close()
"""


def listen(server: AcmeServer) -> list[str]:
    return [*server.options, "--http-listen", f"127.0.0.1:{server.http_port}"]


def hook(folder: Path, server: AcmeServer, *, fails: bool = False) -> tuple[str, Path]:
    """A program that sets TXT records in pebble's DNS; its path, and its log."""
    path, log = folder / "dns-hook", folder / "hook.log"
    path.write_text(HOOK.format(python=sys.executable, log=str(log), dns=server.dns_management, fails=fails))
    path.chmod(0o755)
    return shlex.quote(str(path)), log


def account_file(client: AcmeClient) -> Path:
    (path,) = (client.root / "acme").glob("*.json")
    return path


def names_of(certificate: x509.Certificate) -> set[str]:
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return set(extension.value.get_values_for_type(x509.DNSName))


def test_a_listener_of_its_own_proves_control_of_several_names(acme: AcmeClient, pebble: AcmeServer) -> None:
    done = acme.enrol(*listen(pebble), names=("www.example.org", "example.org"))
    leaf, *above = done.chain
    assert names_of(leaf) == {"www.example.org", "example.org"}
    assert leaf.public_key() == KEY.public_key()
    assert len(above) == 3  # PEBBLE_CHAIN_LENGTH
    leaf.verify_directly_issued_by(above[0])


def test_the_order_is_the_cookie_of_a_run_that_leaves_the_rest_to_the_next(
    acme: AcmeClient, pebble: AcmeServer
) -> None:
    csr = signing_request("cookie.example.org")
    first = acme(*listen(pebble), "--wait", "0", OPERATION="SUBMIT", CSR=csr)
    assert first.output.startswith("5\nhttps://localhost")
    second = acme(*listen(pebble), OPERATION="POLL", CSR=csr, CA_COOKIE=first.cookie)
    assert names_of(second.chain[0]) == {"cookie.example.org"}
    # An answer that got lost: the order still has its certificate.
    third = acme(*listen(pebble), OPERATION="POLL", CSR=csr, CA_COOKIE=first.cookie)
    assert third.chain == second.chain


def test_a_run_that_was_cut_off_leaves_its_order_to_the_next(acme: AcmeClient, pebble: AcmeServer) -> None:
    csr = signing_request("cut.example.org")
    first = acme(*listen(pebble), "--wait", "0", OPERATION="SUBMIT", CSR=csr)
    again = acme(*listen(pebble), "--wait", "0", OPERATION="SUBMIT", CSR=csr)
    assert again.cookie == first.cookie
    done = acme(*listen(pebble), OPERATION="SUBMIT", CSR=csr)
    assert done.chain
    assert acme(*listen(pebble), "--wait", "0", OPERATION="SUBMIT", CSR=csr).cookie != first.cookie


def test_an_order_that_the_server_forgot_is_made_anew(acme: AcmeClient, pebble: AcmeServer) -> None:
    lost = pebble.url.replace("/dir", "/my-order/lost")
    done = acme.enrol(*listen(pebble), names=("lost.example.org",), cookie=lost)
    assert names_of(done.chain[0]) == {"lost.example.org"}


def test_files_below_a_web_servers_root_are_readable_and_removed(
    acme: AcmeClient, pebble: AcmeServer, tmp_path: Path
) -> None:
    root = tmp_path / "www"
    root.mkdir()
    # A web server of its own: serves the files, and notes their modes.
    program = (
        "import http.server, os, sys\n"
        "class H(http.server.SimpleHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        path = self.translate_path(self.path)\n"
        "        print(oct(os.stat(path).st_mode), oct(os.stat(os.path.dirname(path)).st_mode), flush=True)\n"
        "        super().do_GET()\n"
        f"os.chdir({str(root)!r})\n"
        f"http.server.HTTPServer(('127.0.0.1', {pebble.http_port}), H).serve_forever()\n"
    )
    log = tmp_path / "www.log"
    with running_program([sys.executable, "-I", "-c", program], pebble.http_port, log, dict(os.environ)):
        done = acme.enrol(*pebble.options, "--webroot", str(root), names=("files.example.org",))
    assert names_of(done.chain[0]) == {"files.example.org"}
    assert "0o100644 0o40755" in log.read_text()
    assert list((root / ".well-known" / "acme-challenge").iterdir()) == []


def test_a_program_proves_control_by_dns_also_of_a_wildcard(
    acme: AcmeClient, pebble: AcmeServer, tmp_path: Path
) -> None:
    program, log = hook(tmp_path, pebble)
    done = acme.enrol(*pebble.options, "--dns-hook", program, names=("*.wild.example.org",))
    assert names_of(done.chain[0]) == {"*.wild.example.org"}
    assert log.read_text().splitlines() == [
        "present _acme-challenge.wild.example.org.",
        "cleanup _acme-challenge.wild.example.org.",
    ]


def test_what_the_program_says_when_it_fails_is_told(acme: AcmeClient, pebble: AcmeServer, tmp_path: Path) -> None:
    program, log = hook(tmp_path, pebble, fails=True)
    done = acme.enrol(*pebble.options, "--dns-hook", program, names=("locked.example.org",))
    assert done.status == 3
    assert done.first_line.endswith("ended with status 1: the zone is locked")
    assert "cleanup" in log.read_text()


def test_a_wildcard_without_dns_says_what_is_missing(acme: AcmeClient, pebble: AcmeServer) -> None:
    done = acme.enrol(*listen(pebble), names=("*.example.org",))
    assert (done.status, "--dns-hook" in done.first_line) == (4, True)


def test_the_account_key_is_private_and_the_account_is_used_again(acme: AcmeClient, pebble: AcmeServer) -> None:
    csr = signing_request("account.example.org")
    options = [*pebble.options, "--contact", "admin@example.org"]
    assert acme(*options, "--wait", "0", OPERATION="SUBMIT", CSR=csr).status == 5
    path = account_file(acme)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    before = json.loads(path.read_text())
    assert before["contact"] == ["mailto:admin@example.org"]
    assert acme(*options, "--wait", "0", OPERATION="SUBMIT", CSR=csr).status == 5
    assert json.loads(path.read_text()) == before
    assert acme(*pebble.options, "--wait", "0", "--contact", "ops@example.org", OPERATION="SUBMIT", CSR=csr).status == 5
    after = json.loads(path.read_text())
    assert after == before | {"contact": ["mailto:ops@example.org"]}


def test_an_account_that_the_server_forgot_is_created_again_with_its_key(acme: AcmeClient, pebble: AcmeServer) -> None:
    csr = signing_request("forgotten.example.org")
    assert acme(*listen(pebble), "--wait", "0", OPERATION="SUBMIT", CSR=csr).status == 5
    path = account_file(acme)
    stored = json.loads(path.read_text())
    path.write_text(json.dumps(stored | {"url": stored["url"] + "0"}))
    assert acme(*listen(pebble), "--wait", "0", OPERATION="SUBMIT", CSR=csr).status == 5
    assert json.loads(path.read_text()) == stored  # the same key has the same account


def test_a_damaged_account_file_is_not_replaced(acme: AcmeClient, pebble: AcmeServer) -> None:
    csr = signing_request("damaged.example.org")
    assert acme(*listen(pebble), "--wait", "0", OPERATION="SUBMIT", CSR=csr).status == 5
    path = account_file(acme)
    path.write_text("{")
    done = acme(*pebble.options, OPERATION="SUBMIT", CSR=csr)
    assert (done.status, str(path) in done.first_line) == (4, True)
    assert path.read_text() == "{"


def test_terms_of_service_have_to_be_agreed_to(acme: AcmeClient, pebble: AcmeServer) -> None:
    options = [option for option in pebble.options if option != "--agree-tos"]
    done = acme(*options, OPERATION="SUBMIT", CSR=signing_request("terms.example.org"))
    assert (done.status, "--agree-tos" in done.first_line) == (4, True)


def test_an_external_account_is_bound(acme: AcmeClient, tmp_path: Path) -> None:
    key_file = tmp_path / "eab.key"
    key_file.write_text(EAB_KEY + "\n")
    binding = ["--eab-kid", EAB_KID, "--eab-key-file", str(key_file)]
    with running_pebble(tmp_path / "pebble", with_accounts=True, PEBBLE_VA_ALWAYS_VALID="1") as server:
        without = acme(*listen(server), OPERATION="SUBMIT", CSR=signing_request("eab.example.org"))
        assert (without.status, "--eab-kid" in without.first_line) == (4, True)
        key_file.write_text(EAB_KEY[::-1] + "\n")
        wrong = acme(*listen(server), *binding, OPERATION="SUBMIT", CSR=signing_request("eab.example.org"))
        assert (wrong.status, "The ACME account was refused" in wrong.first_line) == (4, True)
        key_file.write_text(EAB_KEY + "\n")
        done = acme.enrol(*listen(server), *binding, names=("eab.example.org",))
        assert names_of(done.chain[0]) == {"eab.example.org"}
        assert EAB_KEY not in account_file(acme).read_text()


def test_the_preferred_chain_is_fetched(acme: AcmeClient, pebble: AcmeServer) -> None:
    tops = {done.chain[-1].issuer for done in [acme.enrol(*listen(pebble), names=("chain.example.org",))]}
    roots = [x509.load_pem_x509_certificate(pebble.root(number)) for number in range(3)]
    (other,) = [root for root in roots if root.subject not in tops][:1]
    name = str(other.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)
    done = acme.enrol(*listen(pebble), "--preferred-chain", name, names=("chain.example.org",))
    assert done.chain[-1].issuer == other.subject
    missing = acme.enrol(*listen(pebble), "--preferred-chain", "No Such CA", names=("chain.example.org",))
    assert missing.chain[-1].issuer in tops
    assert "No Such CA" in missing.errors


def test_profiles_of_a_server_without_any_are_refused(acme: AcmeClient, pebble: AcmeServer) -> None:
    csr = signing_request("profile.example.org")
    done = acme(*pebble.options, OPERATION="SUBMIT", CSR=csr, CA_PROFILE="shortlived")
    assert (done.status, "shortlived" in done.first_line) == (4, True)
    assert acme(*pebble.options, OPERATION="GET-SUPPORTED-TEMPLATES").status == 6


def test_the_operations(acme: AcmeClient, pebble: AcmeServer, tmp_path: Path) -> None:
    assert acme(OPERATION="IDENTIFY").output.startswith("ACME (certmongerd ")
    assert acme(*pebble.options, OPERATION="FETCH-ROOTS").status == 6
    root = tmp_path / "root.pem"
    root.write_bytes(pebble.root())
    fetched = acme(*pebble.options, "--roots", str(root), OPERATION="FETCH-ROOTS")
    assert fetched.first_line.startswith("Pebble Root CA")
    assert acme(*pebble.options, OPERATION="FETCH-SCEP-CA-CAPS").status == 6
    assert acme(OPERATION="SUBMIT", CSR=signing_request("a.example.org")).status == 4
    assert acme(*pebble.options, OPERATION="SUBMIT").status == 4


def test_a_port_that_somebody_else_has_is_told(acme: AcmeClient, pebble: AcmeServer) -> None:
    with socket.create_server(("127.0.0.1", pebble.http_port)):
        done = acme.enrol(*listen(pebble), names=("taken.example.org",))
    assert done.status == 4
    assert "Address already in use" in done.first_line
    assert "--webroot" in done.first_line
