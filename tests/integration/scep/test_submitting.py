"""Sending messages: what scep-submit checks, how it sends, what it makes of the answers."""

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from fakes.scep_authority import Authority, ReplyPlan, ca_with_ra, single_ca
from fakes.scep_cms import envelope, sign
from fakes.scep_responder import ALL_CAPABILITIES, MESSAGE_TYPE, Answer, Responder, Scenario
from scep_exchange import KEY, NEXT, messages_for, variables
from scep_material import certificate, pem, signing_request
from scep_run import RunHelper

from certmongerd.core.model import ScepMessages
from certmongerd.scep.client import decrypt_reply


def minicert_of(messages: ScepMessages) -> list[x509.Certificate]:
    return [x509.load_der_x509_certificate(messages.minicert)]


# --- the way of the message


@pytest.mark.parametrize(
    ("capabilities", "method"),
    [
        (ALL_CAPABILITIES, "POST"),
        (b"SCEPStandard", "POST"),
        (b"postpkioperation", "POST"),
        (b"AES\nSHA-256", "GET"),
        (b"", "GET"),
    ],
)
def test_messages_go_by_post_where_announced(
    responder: Responder, helper: RunHelper, capabilities: bytes, method: str
) -> None:
    authority = ca_with_ra()
    scenario = Scenario(authority=authority, capabilities=Answer(body=capabilities))
    messages = messages_for(authority)

    finished = helper("-u", responder.add("way", scenario), **variables(authority, messages))

    assert finished.status == 0, finished
    assert decrypt_reply(finished.output.encode(), [(KEY, minicert_of(messages))])[0].public_key() == KEY.public_key()
    assert scenario.operations == ["GetCACaps", "PKIOperation"]
    sent = scenario.seen[1]
    assert sent.method == method
    if method == "POST":
        assert (sent.raw_query, sent.content_type) == ("operation=PKIOperation", MESSAGE_TYPE)
    else:
        assert set(sent.raw_query.removeprefix("operation=PKIOperation&message=")).isdisjoint("+/=&\n ")


@pytest.mark.parametrize("capabilities", [Answer(status=404), Answer(status=500), Answer(behaviour="close")])
def test_a_server_that_does_not_tell_its_capabilities_gets_a_get(
    responder: Responder, helper: RunHelper, capabilities: Answer
) -> None:
    authority = single_ca()
    scenario = Scenario(authority=authority, capabilities=capabilities)
    url = responder.add("silent", scenario)
    assert helper("-u", url, **variables(authority, messages_for(authority))).status == 0
    assert scenario.seen[-1].method == "GET"


@pytest.mark.parametrize("status", [400, 405, 501])
def test_a_refused_post_goes_once_more_by_get(responder: Responder, helper: RunHelper, status: int) -> None:
    authority = ca_with_ra()
    refusals = {"POST": Answer(status=status, body=b"no")}
    capabilities = Answer(body=b"POSTPKIOperation")
    scenario = Scenario(authority=authority, capabilities=capabilities, refusals=refusals)
    finished = helper("-u", responder.add("405", scenario), **variables(authority, messages_for(authority)))
    assert finished.status == 0
    assert [seen.method for seen in scenario.seen] == ["GET", "POST", "GET"]


def test_a_conforming_server_that_refuses_post_is_not_asked_again(responder: Responder, helper: RunHelper) -> None:
    authority = ca_with_ra()
    scenario = Scenario(authority=authority, refusals={"POST": Answer(status=405)})
    finished = helper("-u", responder.add("405", scenario), **variables(authority, messages_for(authority)))
    assert finished.status == 3
    assert "HTTP 405" in finished.first_line
    assert scenario.operations == ["GetCACaps", "PKIOperation"]


@pytest.mark.parametrize("status", [414, 431])
def test_a_get_that_is_too_long_goes_once_more_by_post(responder: Responder, helper: RunHelper, status: int) -> None:
    authority = ca_with_ra()
    scenario = Scenario(authority=authority, capabilities=Answer(body=b""), refusals={"GET": Answer(status=status)})
    assert helper("-u", responder.add("414", scenario), **variables(authority, messages_for(authority))).status == 0
    assert scenario.seen[-1].method == "POST"


@pytest.mark.parametrize(
    ("capabilities", "arguments", "signer"),
    [(ALL_CAPABILITIES, (), "old"), (ALL_CAPABILITIES, ("-n",), "new"), (b"AES\nPOSTPKIOperation", (), "new")],
)
def test_a_rekey_is_signed_by_the_old_key_only_where_renewal_is_offered_and_wanted(
    responder: Responder, helper: RunHelper, capabilities: bytes, arguments: tuple[str, ...], signer: str
) -> None:
    authority = ca_with_ra()
    held = certificate("client.example.org", KEY, issuer=authority.ca.certificate, issuer_key=authority.ca.key)
    messages = messages_for(authority, csr=signing_request(NEXT), key_next=NEXT, certificate=pem(held))
    scenario = Scenario(authority=authority, capabilities=Answer(body=capabilities))

    finished = helper("-u", responder.add("rekey", scenario), *arguments, **variables(authority, messages))

    assert finished.status == 0
    key = KEY if signer == "old" else NEXT
    assert scenario.received[0].signer.public_key() == key.public_key()
    assert scenario.received[0].csr.public_key() == NEXT.public_key()
    opened = decrypt_reply(finished.output.encode(), [(KEY, [held]), (NEXT, minicert_of(messages))])
    assert opened[0].public_key() == NEXT.public_key()


# --- the answers


def test_pending_then_issued_polls_with_another_nonce_in_the_same_transaction(
    responder: Responder, helper: RunHelper
) -> None:
    authority = ca_with_ra()
    plans = (ReplyPlan(status="3"), ReplyPlan(status="3"), ReplyPlan())
    scenario = Scenario(authority=authority, plans=plans)
    url = responder.add("pending", scenario)
    first = messages_for(authority)
    csr = signing_request(KEY)

    waiting = helper("-u", url, **variables(authority, first))
    second = messages_for(authority, csr=csr, old=first, is_polling=True)
    still = helper("-u", url, **variables(authority, second, "POLL"), CA_COOKIE=waiting.first_line)
    third = messages_for(authority, csr=csr, old=second, is_polling=True)
    issued = helper("-u", url, **variables(authority, third, "POLL"), CA_COOKIE=still.first_line)

    assert (waiting.status, still.status, issued.status) == (1, 1, 0)
    assert waiting.first_line
    assert [each.message_type for each in scenario.received] == ["19", "20", "20"]
    assert len({each.transaction_id for each in scenario.received}) == 1


def test_a_failure_is_a_rejection_with_its_reason(responder: Responder, helper: RunHelper) -> None:
    authority = ca_with_ra()
    scenario = Scenario(authority=authority, plans=[ReplyPlan(status="2", fail_info="3", fail_info_text="late")])
    finished = helper("-u", responder.add("failure", scenario), **variables(authority, messages_for(authority)))
    assert finished.status == 2
    assert "badTime" in finished.first_line
    assert "late" in finished.first_line


def test_a_reply_that_does_not_verify_hands_nothing_on(responder: Responder, helper: RunHelper) -> None:
    authority = ca_with_ra()
    plan = ReplyPlan().with_signature(flips_signature=True)
    scenario = Scenario(authority=authority, plans=[plan])
    finished = helper("-u", responder.add("forged", scenario), **variables(authority, messages_for(authority)))
    assert finished.status == 3
    assert "signature" in finished.first_line
    assert "PKCS7" not in finished.output


@pytest.mark.parametrize("status", [200, 404, 500])
@pytest.mark.parametrize("content_type", [MESSAGE_TYPE, "text/html", "application/pkcs7-mime; x=y", ""])
def test_a_valid_message_counts_whatever_status_and_type_it_comes_with(
    responder: Responder, helper: RunHelper, status: int, content_type: str
) -> None:
    authority = ca_with_ra()
    made = Answer(status=status, content_type=content_type)
    scenario = Scenario(authority=authority, message_answer=made)
    url = responder.add("odd", scenario)
    assert helper("-u", url, **variables(authority, messages_for(authority))).status == 0


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"<html>\n<body>", "<html>"),
        (b"\x89\x00\xffbinary", ""),
        (b"\x30\x82\x01\x00garbage", ""),
        (b"", ""),
        (b"no such profile\r\nat all", "no such profile"),
    ],
)
def test_other_answers_are_unreachable_with_a_readable_line(
    responder: Responder, helper: RunHelper, body: bytes, shown: str
) -> None:
    authority = ca_with_ra()
    answer = Answer(content_type=MESSAGE_TYPE, body=body)
    scenario = Scenario(authority=authority, refusals={"POST": answer})
    finished = helper("-u", responder.add("garbage", scenario), **variables(authority, messages_for(authority)))
    assert finished.status == 3
    assert finished.first_line.isprintable()
    assert finished.first_line.endswith(f"HTTP 200{f': {shown}' if shown else ''}")


def test_a_body_that_is_too_big_is_not_read_to_its_end(responder: Responder, helper: RunHelper) -> None:
    authority = ca_with_ra()
    scenario = Scenario(authority=authority, refusals={"POST": Answer(body=bytes(30 << 20))})
    finished = helper("-u", responder.add("big", scenario), **variables(authority, messages_for(authority)))
    assert finished.status == 3
    assert "more than 1048576 bytes" in finished.first_line


def test_a_body_that_is_cut_off_is_unreachable(responder: Responder, helper: RunHelper) -> None:
    authority = ca_with_ra()
    scenario = Scenario(authority=authority, message_answer=Answer(behaviour="truncate"))
    url = responder.add("truncated", scenario)
    assert helper("-u", url, **variables(authority, messages_for(authority))).status == 3


# --- what is not sent


def corrupted(message: str) -> str:
    """The same message with another signature."""
    data = bytearray(base64.b64decode("".join(message.splitlines()[1:-1])))
    data[-1] ^= 1
    return f"-----BEGIN PKCS7-----\n{base64.encodebytes(data).decode()}-----END PKCS7-----\n"


def without_attributes(authority: Authority) -> str:
    """SignedData around an envelope, as any CMS program makes it."""
    own = certificate("client", KEY)
    text = base64.encodebytes(sign(envelope(b"text", [authority.ra.certificate]), {}, KEY, own)).decode()
    return f"-----BEGIN PKCS7-----\n{text}-----END PKCS7-----\n"


@pytest.mark.parametrize("operation", ["SUBMIT", "POLL"])
@pytest.mark.parametrize(
    "defect",
    ["missing", "random text", "certificate", "broken signature", "other type", "no attributes", "other recipient"],
)
def test_a_message_that_is_not_well_formed_is_not_sent(
    responder: Responder, helper: RunHelper, operation: str, defect: str
) -> None:
    authority = ca_with_ra()
    good = messages_for(authority)
    elsewhere = messages_for(single_ca())
    bad = {
        "missing": ScepMessages(),
        "random text": replace(good, req="text", gic="text"),
        "certificate": replace(good, req=pem(authority.ra.certificate), gic=pem(authority.ra.certificate)),
        "broken signature": replace(good, req=corrupted(good.req), gic=corrupted(good.gic)),
        "other type": replace(good, req=good.gic, gic=good.req),
        "no attributes": replace(good, req=without_attributes(authority), gic=without_attributes(authority)),
        "other recipient": elsewhere,
    }[defect]
    scenario = Scenario(authority=authority)

    finished = helper("-u", responder.add("sane", scenario), **variables(authority, bad, operation))

    assert finished.status == 16
    assert finished.first_line
    assert scenario.seen == []


def test_the_missing_kind_is_named(helper: RunHelper) -> None:
    ra = pem(ca_with_ra().ra.certificate)
    url = "http://127.0.0.1:9/"
    assert "PKCSReq" in helper("-u", url, OPERATION="SUBMIT", SCEP_RA_CERTIFICATE=ra).first_line
    assert "GetCertInitial" in helper("-u", url, OPERATION="POLL", SCEP_RA_CERTIFICATE=ra).first_line


def test_an_unreadable_operand_is_a_missing_message(helper: RunHelper, tmp_path: Path) -> None:
    ra = pem(ca_with_ra().ra.certificate)
    finished = helper("-u", "http://127.0.0.1:9/", "-p", str(tmp_path / "absent"), SCEP_RA_CERTIFICATE=ra)
    assert finished.status == 16
    assert "absent" in finished.first_line


@contextmanager
def connected_to_standard_input(text: str) -> Iterator[None]:
    saved = os.dup(0)
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    os.dup2(reading, 0)
    os.close(reading)
    try:
        yield
    finally:
        os.dup2(saved, 0)
        os.close(saved)


def test_a_message_on_standard_input_or_in_a_file_is_sent(
    responder: Responder, helper: RunHelper, tmp_path: Path
) -> None:
    authority = ca_with_ra()
    scenario = Scenario(authority=authority, repeats_transactions=True)
    url = responder.add("given", scenario)
    (tmp_path / "ra").write_text(pem(authority.ra.certificate))
    (tmp_path / "ca").write_text(pem(authority.ca.certificate))
    options = ("-u", url, "-p", "-r", str(tmp_path / "ra"), "-N", str(tmp_path / "ca"))

    with connected_to_standard_input(messages_for(authority).req):
        assert helper(*options).status == 0
    (tmp_path / "message").write_text(messages_for(authority).req)
    assert helper(*options, str(tmp_path / "message")).status == 0

    assert len(scenario.received) == 2


# --- settings


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("-p",), "No SCEP URL"),
        (("-u", "ftp://host/", "-c"), "not an http"),
        (("-u", "http://", "-c"), "not an http"),
        (("-u", "http://h/"), "No SCEP operation"),
        (("-u", "http://h/", "--bogus", "-c"), "bogus"),
        (("-u", "https://h/", "-c", "-R", "/nonexistent/ca.pem"), "/nonexistent/ca.pem"),
        (("-u", "http://h/", "-C", "-r", "/nonexistent/ra.pem"), "/nonexistent/ra.pem"),
    ],
)
def test_unusable_settings_are_explained(helper: RunHelper, arguments: tuple[str, ...], part: str) -> None:
    finished = helper(*arguments, PKCSREQ=messages_for(ca_with_ra()).req)
    assert finished.status == 4
    assert part in finished.output


@pytest.mark.parametrize("ra", ["", "rubbish", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_without_a_readable_ra_certificate_nothing_is_sent(helper: RunHelper, ra: str) -> None:
    messages = messages_for(ca_with_ra())
    finished = helper("-u", "http://127.0.0.1:9/", OPERATION="SUBMIT", PKCSREQ=messages.req, SCEP_RA_CERTIFICATE=ra)
    assert finished.status == 4
    assert finished.first_line


def test_operations_without_a_server(helper: RunHelper) -> None:
    assert helper(OPERATION="IDENTIFY").output.startswith("SCEP (certmongerd ")
    for operation in ("GET-NEW-REQUEST-REQUIREMENTS", "GET-RENEW-REQUEST-REQUIREMENTS"):
        assert helper(OPERATION=operation).output.split() == [
            "CERTMONGER_SCEP_RA_CERTIFICATE",
            "CERTMONGER_SCEP_CA_CERTIFICATE",
            "CERTMONGER_PKCSREQ",
            "CERTMONGER_PKCSREQ_REKEY",
            "CERTMONGER_GETCERTINITIAL",
            "CERTMONGER_GETCERTINITIAL_REKEY",
        ]
    for operation in ("FETCH-ROOTS", "GET-SUPPORTED-TEMPLATES", "GET-DEFAULT-TEMPLATE", "SOMETHING-ELSE"):
        finished = helper("-u", "http://127.0.0.1:9/", OPERATION=operation)
        assert (finished.status, finished.output) == (6, "")
