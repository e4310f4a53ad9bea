"""What a request takes over from a certificate it did not ask for."""

from dataclasses import replace

from certmongerd.core.adoption import fill_template
from certmongerd.core.model import CertificateFacts, Template

FACTS = CertificateFacts(
    subject="CN=a,O=Org",
    subject_der=b"name",
    hostname=("a.example.org",),
    email=("a@example.org",),
    principal=("host/a@EXAMPLE.ORG",),
    ip_address=("192.0.2.1",),
    ku="101",
    eku=("1.3.6.1.5.5.7.3.1",),
    is_ca=True,
    ca_path_length=2,
    crldp=("http://crl",),
    freshest_crl=("http://freshest",),
    ocsp=("http://ocsp",),
    ns_comment="hello",
    profile="WebServer",
    no_ocsp_check=True,
    ns_certtype="server",
)
ADOPTED = Template(
    subject="CN=a,O=Org",
    subject_der=b"name",
    hostname=("a.example.org",),
    email=("a@example.org",),
    principal=("host/a@EXAMPLE.ORG",),
    ip_address=("192.0.2.1",),
    ku="101",
    eku=("1.3.6.1.5.5.7.3.1",),
    is_ca=True,
    ca_path_length=2,
    ns_comment="hello",
    profile="WebServer",
    no_ocsp_check=True,
    ns_certtype="server",
)


def test_an_empty_template_asks_for_what_the_certificate_has() -> None:
    # As certmonger does, but for being a CA.
    assert fill_template(Template(), FACTS) == ADOPTED


def test_the_certificate_of_a_ca_stays_one_with_the_path_length_that_it_has() -> None:
    unlimited = fill_template(Template(), replace(FACTS, ca_path_length=-2))
    assert (unlimited.is_ca, unlimited.ca_path_length) == (True, -1)
    leaf = fill_template(Template(), replace(FACTS, is_ca=False, ca_path_length=-1))
    assert (leaf.is_ca, leaf.ca_path_length) == (False, -1)
    own = fill_template(Template(is_ca=True, ca_path_length=0), FACTS)
    assert (own.is_ca, own.ca_path_length) == (True, 0)


def test_where_the_status_is_published_comes_from_a_self_issued_certificate_only() -> None:
    filled = fill_template(Template(), replace(FACTS, issuer_der=FACTS.subject_der))
    assert filled == replace(ADOPTED, crldp=("http://crl",), freshest_crl=("http://freshest",), ocsp=("http://ocsp",))


def test_what_the_template_says_already_is_kept() -> None:
    own = Template(
        subject="CN=own",
        subject_der=b"own",
        hostname=("own",),
        email=("own",),
        principal=("own",),
        ip_address=("own",),
        ku="1",
        eku=("own",),
        is_ca=True,
        ca_path_length=0,
        no_ocsp_check=True,
        ns_comment="own",
        profile="own",
        ns_certtype="own",
    )
    assert fill_template(own, replace(FACTS, is_ca=False)) == own
    assert fill_template(replace(Template(), email=("own",)), FACTS) == replace(ADOPTED, email=("own",))


def test_a_subject_of_its_own_comes_without_the_certificate_s_encoding() -> None:
    filled = fill_template(Template(subject="CN=b"), FACTS)
    assert (filled.subject, filled.subject_der) == ("CN=b", b"")


def test_filling_twice_changes_nothing() -> None:
    assert fill_template(ADOPTED, replace(FACTS, subject="CN=new", hostname=("new",))) == ADOPTED
