"""Reading certmonger.conf."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certmongerd.config.durations import Duration
from certmongerd.config.files import MAXIMUM_SIZE
from certmongerd.config.load import load_settings, parse_settings
from certmongerd.config.settings import (
    DEFAULT_TTLS,
    MailSettings,
    MailTls,
    NotificationMethod,
    ProgramLauncher,
    Settings,
)
from certmongerd.core.model import KeyAlgorithm

DAY = Duration(seconds=86400)
WEEK = Duration(seconds=604800)
YEAR = Duration(years=1)

EVERYTHING = """\
# all that can be set
[defaults]
notify_ttls = 1d, 1w
enroll_ttls=1w
notification_method=command
notification_destination = /usr/bin/tell "admin" # not a comment
default_ca = local
key_type = EC
rsa_key_size = 4096
ec_key_size = 384
symmetric_cipher = AES-256
digest = SHA-512
nss_ca_trust = C,,
nss_other_trust = ,P,
max_key_use_count = 3
max_key_lifetime = 1y

[mail]
from = certs@example.org
sendmail = /usr/lib/sendmail
smtp_server = mail.example.org:587
smtp_tls = TLS
smtp_ca_file = /etc/ca.pem
smtp_user = certs
smtp_password_file = /etc/password

[declarations]
prune = yes

[helpers]
submit_timeout = 2m
ca_data_timeout = 30
hook_timeout = 1h
max_simultaneous = 2
launcher = systemd-run

[renewal]
spread = no

[selfsign]
validity_period = 1w
populate_unique_id = yes
[local]
validity_period = 1d
[scep]
challenge_password_otp = T
"""


def settings_of(text: str) -> Settings:
    settings, problems = parse_settings(text)
    assert problems == ()
    return settings


def defaults(line: str) -> Settings:
    return settings_of(f"[defaults]\n{line}\n")


def test_everything_that_can_be_set() -> None:
    assert settings_of(EVERYTHING) == Settings(
        notify_ttls=(DAY, WEEK),
        enroll_ttls=(WEEK,),
        notification_method=NotificationMethod.COMMAND,
        notification_destination='/usr/bin/tell "admin" # not a comment',
        default_ca="local",
        key_type=KeyAlgorithm.EC,
        rsa_key_size=4096,
        ec_key_size=384,
        symmetric_cipher="aes256",
        digest="sha512",
        nss_ca_trust="C,,",
        nss_other_trust=",P,",
        max_key_use_count=3,
        max_key_lifetime=YEAR,
        submit_timeout_s=120.0,
        ca_data_timeout_s=30.0,
        hook_timeout_s=3600.0,
        max_helpers=2,
        program_launcher=ProgramLauncher.SYSTEMD_RUN,
        spread=False,
        selfsign_validity=WEEK,
        selfsign_populate_unique_id=True,
        local_validity=DAY,
        challenge_password_otp=True,
        prune_declared=True,
        mail=MailSettings(
            sender="certs@example.org",
            sendmail="/usr/lib/sendmail",
            smtp_server=("mail.example.org", 587),
            smtp_tls=MailTls.TLS,
            smtp_ca_file="/etc/ca.pem",
            smtp_user="certs",
            smtp_password_file="/etc/password",
        ),
    )


@pytest.mark.parametrize("text", ["", "\n# only a comment\n", "[defaults]\n", "[scep]\n[local]\n"])
def test_nothing_set_means_defaults(text: str) -> None:
    assert settings_of(text) == Settings()


def test_the_defaults_are_those_of_certmonger() -> None:
    settings = Settings()

    assert [ttl.seconds for ttl in settings.enroll_ttls] == [
        2419200, 604800, 259200, 172800, 86400, 43200, 21600, 7200, 3600
    ]  # fmt: skip
    assert settings.notify_ttls == settings.enroll_ttls
    assert (settings.notification_method, settings.notification_destination) == ("syslog", "daemon.notice")
    assert (settings.key_type, settings.rsa_key_size) == (KeyAlgorithm.RSA, 2048)
    assert (settings.symmetric_cipher, settings.digest) == ("aes128", "sha256")
    assert (settings.nss_ca_trust, settings.nss_other_trust) == ("CT,C,C", ",,")
    assert (settings.selfsign_validity, settings.local_validity) == (YEAR, YEAR)


def test_ttls_stand_in_for_the_list_that_is_absent() -> None:
    settings = settings_of("[defaults]\nttls=1d\nenroll_ttls=1w\n")

    assert (settings.notify_ttls, settings.enroll_ttls) == ((DAY,), (WEEK,))


def test_an_empty_list_switches_off() -> None:
    assert defaults("notify_ttls=").notify_ttls == ()


def test_the_local_ca_lives_as_long_as_self_signed_certificates() -> None:
    assert settings_of("[selfsign]\nvalidity_period=1w\n").local_validity == WEEK


@pytest.mark.parametrize(
    ("word", "method"),
    [
        ("syslog", NotificationMethod.SYSLOG),
        ("mail", NotificationMethod.MAIL),
        ("EMAIL", NotificationMethod.MAIL),
        ("mailto", NotificationMethod.MAIL),
        ("stdout", NotificationMethod.STDOUT),
        ("none", NotificationMethod.NONE),
    ],
)
def test_notification_methods(word: str, method: NotificationMethod) -> None:
    assert defaults(f"notification_method = {word}\nnotification_destination = mail").notification_method is method


@pytest.mark.parametrize(
    ("word", "digest"),
    [("sha1", "sha1"), ("sha-1", "sha1"), ("SHA-256", "sha256"), ("sha384", "sha384"), ("md5", "md5")],
)
def test_digests(word: str, digest: str) -> None:
    assert defaults(f"digest={word}").digest == digest


@pytest.mark.parametrize("word", ["aes", "aes128", "AES-128"])
def test_spellings_of_the_cipher(word: str) -> None:
    assert defaults(f"symmetric_cipher={word}").symmetric_cipher == "aes128"


@pytest.mark.parametrize(
    ("text", "asked", "bits"),
    [
        ("", None, 2048),
        ("", KeyAlgorithm.EC, 521),
        ("rsa_key_size=3072", KeyAlgorithm.RSA, 3072),
        ("key_type=EC\nrsa_key_size=3072", KeyAlgorithm.RSA, 3072),
        ("ec_key_size=384", KeyAlgorithm.EC, 384),
        ("key_type=EC\nec_key_size=384", None, 384),
    ],
)
def test_a_size_that_no_request_names_depends_on_the_type(text: str, asked: KeyAlgorithm | None, bits: int) -> None:
    assert defaults(text).key_size(asked) == bits


@pytest.mark.parametrize(
    ("lines", "line", "reason"),
    [
        ("notification_method=mail", 2, "is needed for notification_method = mail"),
        ("notification_destination=\nnotification_method=command", 2, "is needed for notification_method = command"),
        ("notification_method=mail\nnotification_destination=-t", 3, "is not a mail address"),
        ("notification_destination=demon.notice", 2, '"demon" is neither a facility nor a level'),
    ],
)
def test_a_destination_that_does_not_fit_its_method_is_reported(lines: str, line: int, reason: str) -> None:
    _, problems = parse_settings(f"[defaults]\n{lines}\n")

    assert [number for number, _ in problems] == [line]
    assert reason in problems[0][1]


def test_key_types() -> None:
    assert defaults("key_type=ecdsa").key_size(None) == 256
    assert defaults("key_type=rsa\nrsa_key_size=3072").key_size(None) == 3072


@pytest.mark.parametrize(("word", "value"), [(w, True) for w in ("yes", "Y", "true", "t", "1")] + [("no", False)])
def test_yes_and_no(word: str, value: bool) -> None:
    assert settings_of(f"[scep]\nchallenge_password_otp={word}\n").challenge_password_otp is value


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("digest = whirlpool", 'digest: "whirlpool" is not one of'),
        ("rsa_key_size = 512", 'rsa_key_size: "512" is not a number from 1024'),
        ("rsa_key_size = many", "rsa_key_size"),
        ("max_key_lifetime =", "max_key_lifetime"),
        ("max_key_lifetime = soon", "max_key_lifetime"),
        ("max_key_use_count = -1", "max_key_use_count"),
        ("notification_method = pigeon", "notification_method"),
        ("key_type = DSA", "key_type"),
        ("colour = blue", "colour is not a key"),
        ("nss_ca_trust = CT,C", 'nss_ca_trust: "CT,C" is not of the form'),
        ("nss_other_trust = yes", "nss_other_trust"),
        ("Digest = sha512", "Digest is not a key"),
        ("digest", "not of the form"),
        ("= sha512", "not of the form"),
    ],
)
def test_what_cannot_be_used_is_reported_with_its_line_and_the_default_holds(line: str, reason: str) -> None:
    settings, problems = parse_settings(f"\n[defaults]\n{line}\n")

    assert settings == Settings()
    assert [number for number, _ in problems] == [3]
    assert reason in problems[0][1]


def test_only_the_usable_part_of_a_value_counts() -> None:
    settings, problems = parse_settings("[defaults]\nenroll_ttls = 1d, never, 1w\nmax_key_lifetime = 1y # a year\n")

    assert settings.enroll_ttls == (DAY, WEEK)
    assert settings.max_key_lifetime == YEAR
    assert [number for number, _ in problems] == [2, 3]
    assert '"never"' in problems[0][1]
    assert '"# a year"' in problems[1][1]


def test_unusable_elements_of_ttls_are_reported() -> None:
    settings, problems = parse_settings("[defaults]\nttls = 1d never\n")

    assert settings.enroll_ttls == (DAY,)
    assert "never" in problems[0][1]


@pytest.mark.parametrize(
    ("text", "server", "tls"),
    [
        ("smtp_server=localhost", ("localhost", 25), MailTls.NO),
        ("smtp_server=[::1]:587", ("::1", 587), MailTls.STARTTLS),
        ("smtp_server=192.0.2.1:465", ("192.0.2.1", 465), MailTls.TLS),
        ("smtp_server=a:587\nsmtp_tls=no", ("a", 587), MailTls.NO),
    ],
)
def test_the_port_of_a_mail_server_says_how_it_is_protected(text: str, server: tuple[str, int], tls: MailTls) -> None:
    mail = settings_of(f"[mail]\n{text}\n").mail

    assert (mail.smtp_server, mail.tls) == (server, tls)


@pytest.mark.parametrize(
    "line", ["smtp_server=a b", "smtp_server=a:0", "smtp_server=::1", "sendmail=mail", "smtp_tls=x"]
)
def test_what_no_mail_can_be_sent_with_is_reported(line: str) -> None:
    settings, problems = parse_settings(f"[mail]\n{line}\n")

    assert settings == Settings()
    assert [number for number, _ in problems] == [2]


@pytest.mark.parametrize("text", ["1M", "0", "soon", "-3"])
def test_a_time_limit_has_a_fixed_length(text: str) -> None:
    settings, problems = parse_settings(f"[helpers]\nsubmit_timeout={text}\n")

    assert settings == Settings()
    assert len(problems) == 1


def test_a_second_occurrence_of_a_section_has_no_effect_and_is_reported() -> None:
    settings, problems = parse_settings("[defaults]\ndigest=sha384\n[defaults]\nrsa_key_size=4096\n")

    assert settings == Settings(digest="sha384")
    assert problems == ((3, "[defaults] is there already; its second occurrence has no effect"),)


def test_the_first_occurrence_of_a_key_counts() -> None:
    settings, problems = parse_settings("[defaults]\ndigest=sha384\ndigest=sha512\n")

    assert settings.digest == "sha384"
    assert [number for number, _ in problems] == [3]


def test_unknown_sections_are_reported_once() -> None:
    settings, problems = parse_settings("[Defaults]\ndigest=sha384\nrsa_key_size=4096\n")

    assert settings == Settings()
    assert problems == ((1, "[Defaults] is not a section that is known"),)


def test_a_key_outside_of_sections_is_reported() -> None:
    settings, problems = parse_settings("digest=sha384\n")

    assert settings == Settings()
    assert problems == ((1, "is outside of any section and has no effect"),)


def test_indented_lines_and_crlf_are_fine() -> None:
    assert settings_of("[defaults]\r\n \tdigest =\tsha384 \r\n   # comment\r\n").digest == "sha384"


@given(st.text(st.sampled_from("[]=# \n\tdefaultsdigest1yM,sha256")))
def test_any_text_gives_settings(text: str) -> None:
    settings, problems = parse_settings(text)

    assert isinstance(settings, Settings)
    assert all(number >= 1 for number, _ in problems)


def test_a_missing_file_means_defaults(tmp_path: Path) -> None:
    loaded = load_settings(tmp_path / "certmonger.conf")

    assert loaded.settings == Settings()
    assert loaded.problems == ()


def test_an_unreadable_file_means_defaults_and_is_reported(tmp_path: Path) -> None:
    loaded = load_settings(tmp_path)

    assert loaded.settings == Settings()
    assert [str(problem) for problem in loaded.problems] == [
        f"{tmp_path}: cannot be read, defaults are used: Is a directory"
    ]


def test_an_unreadable_file_leaves_the_settings_as_they_are(tmp_path: Path) -> None:
    present = Settings(digest="sha512")
    loaded = load_settings(tmp_path, present)

    assert loaded.settings == present
    assert "the settings stay as they are" in str(loaded.problems[0])


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "certmonger.conf"
    os.mkfifo(path)

    assert "not a regular file" in str(load_settings(path).problems[0])


def test_a_file_that_is_too_long_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "certmonger.conf"
    path.write_text("[defaults]\ndigest=sha384\n" + "#" * MAXIMUM_SIZE)
    loaded = load_settings(path)

    assert loaded.settings.digest == "sha384"
    assert "longer than" in str(loaded.problems[0])


def test_problems_name_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "certmonger.conf"
    path.write_bytes(b"[defaults]\ndigest=sha384\nname=J\xf6rg\n")
    loaded = load_settings(path)

    assert loaded.settings.digest == "sha384"
    assert [str(problem) for problem in loaded.problems] == [f"{path}:3: name is not a key that is known in [defaults]"]


def test_default_thresholds_reach_from_four_weeks_to_an_hour() -> None:
    assert (DEFAULT_TTLS[0].seconds, DEFAULT_TTLS[-1].seconds) == (28 * 86400, 3600)
