"""scep-submit --trace: every step is in the file, secrets are not."""

import stat
from pathlib import Path

from fakes.scep_authority import ReplyPlan, ca_with_ra
from fakes.scep_responder import Responder, Scenario
from scep_exchange import messages_for, variables
from scep_material import rsa_key, signing_request
from scep_run import RunHelper

PASSWORD = "correct-horse-battery"


def test_a_trace_tells_what_was_sent_and_received_and_how_it_ended(
    responder: Responder, helper: RunHelper, tmp_path: Path
) -> None:
    authority = ca_with_ra()
    scenario = Scenario(authority=authority, plans=[ReplyPlan(status="2", fail_info="3", fail_info_text="your clock")])
    csr = signing_request(rsa_key("client"), challenge=PASSWORD)
    messages = messages_for(authority, csr=csr)
    url = responder.add("trace", scenario).replace("http://", "http://user:hidden@")
    path = tmp_path / "trace"
    finished = helper("-u", url, "--trace", str(path), **variables(authority, messages))
    assert finished.status == 2
    text = path.read_text()
    for fact in (
        "operation SUBMIT",
        "the server offers: AES, DES3",
        "POST http://127.0.0.1",
        "sent: messageType: 19 PKCSReq",
        f"sent: transactionID: {messages.tx}",
        f"sent: senderNonce: {messages.nonce.hex().upper()}",
        "sent: cipher: AES128",
        "sent: digest: SHA256",
        "CN=Test RA",
        "HTTP 200",
        "received: pkiStatus: 2 FAILURE",
        "received: failInfo: 3",
        "received: failInfoText: your clock",
        "received: content: absent",
        "verdict: Rejected",
        "exit status 2: The CA refused the request: badTime",
    ):
        assert fact in text, fact
    assert PASSWORD not in text
    assert "hidden" not in text
    assert "PRIVATE" not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "hidden" not in finished.output


def test_a_second_run_is_appended_and_a_failure_to_reach_the_server_is_traced(
    helper: RunHelper, tmp_path: Path
) -> None:
    path = tmp_path / "trace"
    for _ in range(2):
        finished = helper("-u", "http://127.0.0.1:9/", "--trace", str(path), OPERATION="FETCH-SCEP-CA-CERTS")
        assert finished.status == 3
    assert path.read_text().count("exit status 3") == 2


def test_a_trace_that_cannot_be_written_is_told_before_anything_is_sent(
    responder: Responder, helper: RunHelper, tmp_path: Path
) -> None:
    scenario = Scenario(authority=ca_with_ra())
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for path in (tmp_path / "link", tmp_path / "no" / "where", tmp_path):
        finished = helper("-u", responder.add("t", scenario), "--trace", str(path), OPERATION="FETCH-SCEP-CA-CAPS")
        assert finished.status == 4
        assert str(path) in finished.first_line
    assert scenario.seen == []


def test_what_is_no_message_is_described_too(responder: Responder, helper: RunHelper, tmp_path: Path) -> None:
    authority = ca_with_ra()
    scenario = Scenario(authority=authority, plans=[ReplyPlan(content=b"junk")])
    path = tmp_path / "trace"
    arguments = ("-u", responder.add("junk", scenario), "--trace", str(path))
    assert helper(*arguments, **variables(authority, messages_for(authority))).status == 3
    assert "received: content: 4 bytes, no envelope" in path.read_text()
