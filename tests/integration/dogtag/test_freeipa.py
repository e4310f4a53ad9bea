"""What FreeIPA sets up on its servers, through the daemon: its own helper around ours, renewing with the agent."""

import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from daemon_under_test import DaemonUnderTest
from dogtag_rig import DogtagRig
from dogtag_server import DEFERRED, processed, retrieved, review
from scep_material import certificate, pem, rsa_key

import certmonger_helpers

HELPER = Path(certmonger_helpers.__file__).parent / "bin" / "dogtag-ipa-renew-agent-submit"
WRAPPER = """#!/usr/bin/env python3
import json, os, subprocess, sys
if os.environ.get("CERTMONGER_OPERATION") not in ("SUBMIT", "POLL"):
    sys.exit(6)
if os.environ["CERTMONGER_OPERATION"] == "POLL":
    os.environ["CERTMONGER_CA_COOKIE"] = json.loads(os.environ["CERTMONGER_CA_COOKIE"])["cookie"]
command = {command!r}
done = subprocess.run(command + sys.argv[1:] + ["--submit-option", "requestor_name=IPA", "--force-new",
                      "--approval-option", "bypassCAnotafter=true"], stdout=subprocess.PIPE, text=True)
output = done.stdout.rstrip("\\n")
if done.returncode == 5:
    delay, _, cookie = output.partition("\\n")
    output = delay + "\\n" + json.dumps({{"cookie": cookie, "profile": None}})
print(output)
sys.exit(done.returncode)
"""
"""As FreeIPA's install/certmonger/dogtag-ipa-ca-renew-agent-submit.in calls the helper and wraps its cookie."""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonUnderTest]:
    under_test = DaemonUnderTest(tmp_path / "daemon")
    under_test.start()
    yield under_test
    under_test.close()


def test_freeipas_renewal_helper_gets_a_certificate_with_the_agents_help(
    rig: DogtagRig, daemon: DaemonUnderTest, tmp_path: Path
) -> None:
    key = rsa_key("ipa")
    wrapper = tmp_path / "dogtag-ipa-ca-renew-agent-submit"
    files = ["--cafile", rig.ca_file, "--certfile", rig.root / "agent.pem", "--keyfile", rig.root / "agent.key"]
    urls = ["--ee-url", rig.server.ee_url, "--agent-url", rig.server.agent_url]
    wrapper.write_text(WRAPPER.format(command=[str(word) for word in (HELPER, *files, *urls)]))
    wrapper.chmod(0o755)
    rig.server.answers |= {
        "profileSubmit": DEFERRED,
        "profileReview": review(("name", "CN=ipa", "-", "string")),
        "profileProcess": processed("complete"),
        "displayCertFromRequest": retrieved(pem(certificate("ipa.example.org", key))),
    }
    (daemon.certs / "ipa.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    added = daemon.getcert("add-ca", "-c", "dogtag-ipa-ca-renew-agent", "-e", shlex.quote(str(wrapper)))
    assert added.returncode == 0, added.stdout
    daemon.request("ipa", "-T", "caServerCert", ca="dogtag-ipa-ca-renew-agent")
    deadline = time.monotonic() + 60
    while daemon.listing("ipa")["status"] != "MONITORING":
        assert time.monotonic() < deadline, daemon.log.read_text()
        time.sleep(0.1)
    services = [seen.path.rpartition("/")[2] for seen in rig.server.seen]
    assert services == ["profileSubmit", "profileReview", "profileProcess", "displayCertFromRequest"]
    assert ("requestor_name", "IPA") in rig.server.seen[0].form
    assert ("bypassCAnotafter", "true") in rig.server.seen[2].form
