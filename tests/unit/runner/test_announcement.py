"""What people read."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from certmongerd.core.effects import Notice
from certmongerd.core.ids import CaName, Nickname
from certmongerd.core.model import CertificateFacts, CertStorage, Request, StorageType
from certmongerd.runner.announcement import compose, describe_place

NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
REQUEST = Request(
    id=Nickname("web"),
    ca_name=CaName("corp"),
    cert_storage=CertStorage(location="/etc/web.crt"),
    cert_facts=CertificateFacts(not_after=datetime(2026, 5, 1, 12, 0, 1, tzinfo=UTC)),
)


@pytest.mark.parametrize("notice", list(Notice))
def test_every_notice_is_one_line_that_names_the_place(notice: Notice) -> None:
    text = compose(REQUEST, notice, NOW)
    assert "\n" not in text
    assert '"/etc/web.crt"' in text


def test_notices_differ() -> None:
    assert len({compose(REQUEST, notice, NOW) for notice in Notice}) == len(Notice)


def test_an_ending_validity_gives_the_time() -> None:
    assert "until 2026-05-01 12:00:01 UTC" in compose(REQUEST, Notice.VALIDITY, NOW)


def test_an_ended_validity_is_said_to_be_over() -> None:
    text = compose(REQUEST, Notice.VALIDITY, NOW.replace(second=1))
    assert "no longer valid since 2026-05-01 12:00:01 UTC" in text


def test_a_rejection_says_why() -> None:
    text = compose(replace(REQUEST, ca_error="Not in the directory."), Notice.REJECTION, NOW)
    assert text.endswith('the CA "corp" rejected the request: Not in the directory.')


def test_a_database_is_described_with_nickname_and_token() -> None:
    storage = CertStorage(type=StorageType.NSSDB, location="/db", nickname="web")
    assert describe_place(storage) == 'named "web" in database "/db"'
    assert describe_place(replace(storage, token="card")) == 'named "web" in token "card" in database "/db"'
