"""Hypothesis strategies for everything that state files can hold."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from certmongerd.core.ids import CaName, Nickname
from certmongerd.core.model import (
    Ca,
    CaCertLocations,
    CaType,
    CertificateFacts,
    CertStorage,
    Hook,
    KeyAlgorithm,
    KeyRecord,
    KeyStorage,
    NamedCertificate,
    Notification,
    Request,
    ScepMessages,
    StorageType,
    Template,
)
from certmongerd.core.secret import Secret
from certmongerd.core.states import State
from certmongerd.store.cas import CA_TABLE
from certmongerd.store.requests import REQUEST_TABLE

_CHARACTERS = "\n\r,\\= #;\t'\"\x01\x1f\x7f\x85\u2028\udc80\udcffé漢😀aAbi19:/.-"
texts = st.text(st.sampled_from(_CHARACTERS), max_size=10)
"""Text with what the syntax of the files, and its neighbours, may find hard well represented."""

some_text = st.text(st.sampled_from(_CHARACTERS), min_size=1, max_size=10)
keys = st.text(st.sampled_from([c for c in _CHARACTERS if c not in "\r\n="]), min_size=1, max_size=10)
words = st.text("abcXYZ019-_./ ", max_size=12)
lists = st.lists(some_text, max_size=3).map(tuple)
blobs = st.binary(max_size=20)
counts = st.integers(0, 10**6)
sizes = st.integers(1, 16384)
modes = st.integers(0, 0o7777)
secrets = st.one_of(st.none(), some_text.map(Secret))
addresses = st.lists(st.ip_addresses().map(str), max_size=3).map(tuple)
times = st.one_of(
    st.none(),
    st.integers(-(10**10), 2 * 10**11)
    .filter(lambda seconds: seconds != 0)
    .map(lambda seconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)),
)
locations = st.lists(st.text("ab.,\\=é \n", min_size=1, max_size=6).filter(lambda part: part != "."), max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)
databases = st.one_of(locations, locations.map("sql:".__add__), st.just(""))
pems = st.one_of(
    st.just(""),
    st.binary(min_size=1, max_size=100).map(
        lambda data: f"-----BEGIN CERTIFICATE-----\n{data.hex()}\n-----END CERTIFICATE-----\n"
    ),
)
nicknames = st.text(st.sampled_from([c for c in _CHARACTERS if c not in "\r\n"]), max_size=10)
nicknames |= st.just("-----BEGIN X-----")
certificates = st.lists(st.builds(NamedCertificate, nickname=nicknames, pem=pems.filter(bool)), max_size=3).map(tuple)
hooks = st.builds(Hook, command=texts, uid=words)
ca_certs = st.builds(
    CaCertLocations,
    root_files=lists,
    other_root_files=lists,
    other_files=lists,
    root_dbs=lists,
    other_root_dbs=lists,
    other_dbs=lists,
)
key_records = st.builds(
    KeyRecord,
    type=st.one_of(st.none(), st.sampled_from(KeyAlgorithm)),
    size=counts,
    gen_type=st.sampled_from(KeyAlgorithm),
    gen_size=sizes,
    pubkey_info=blobs,
    generated_at=times,
    requested_count=counts,
)
key_storages = st.builds(
    KeyStorage,
    type=st.sampled_from(StorageType),
    location=databases,
    token=texts,
    nickname=texts,
    pin=secrets,
    owner=texts,
    perms=modes,
) | st.builds(KeyStorage, type=st.just(StorageType.FILE), location=locations, pin_file=some_text)
cert_storages = st.builds(
    CertStorage,
    type=st.sampled_from(StorageType),
    location=databases,
    token=texts,
    nickname=texts,
    owner=texts,
    perms=modes,
)
_asked = {
    "subject_der": blobs,
    "subject": texts,
    "hostname": lists,
    "email": lists,
    "principal": lists,
    "ip_address": addresses,
    "ku": words,
    "eku": lists,
    "is_ca": st.booleans(),
    "ca_path_length": st.integers(-2, 99),
    "crldp": lists,
    "freshest_crl": lists,
    "ocsp": lists,
    "ns_comment": texts,
    "profile": texts,
    "no_ocsp_check": st.booleans(),
    "ns_certtype": texts,
}
cert_facts = st.builds(
    CertificateFacts,
    **_asked,
    issuer_der=blobs,
    issuer=texts,
    serial=words,
    spki=blobs,
    not_before=times,
    not_after=times,
)
templates = st.builds(
    Template,
    **_asked,
    issuer=texts,
    certificate_template=texts,
    challenge_password=secrets,
    challenge_password_file=texts,
)
scep_messages = st.builds(
    ScepMessages,
    tx=texts,
    nonce=blobs,
    last_nonce=blobs,
    req=pems,
    gic=pems,
    req_next=pems,
    gic_next=pems,
    minicert=blobs,
)


def _unknown(known: frozenset[str]) -> st.SearchStrategy[tuple[tuple[str, str], ...]]:
    """Records with keys that are in no table, and lines that are no records."""
    stray = st.text("abc #;", min_size=1).map(lambda text: ("", text))
    return st.lists(
        st.one_of(st.tuples(keys.filter(lambda key: key.lower() not in known), texts), stray), max_size=3
    ).map(tuple)


_REQUEST_KEYS = frozenset(row.key for row in REQUEST_TABLE.rows) | {
    "cert_issued",
    "cert_expiration",
    "last_expiration_check",
    "ca_profile",
    "challenge_password",
}
_CA_KEYS = frozenset(row.key for row in CA_TABLE.rows)

requests = st.builds(
    Request,
    id=some_text.map(Nickname),
    state=st.sampled_from(State),
    key=key_records,
    key_next=key_records,
    key_next_marker=words,
    key_preserve=st.booleans(),
    key_storage=key_storages,
    key_issued_count=counts,
    cert_storage=cert_storages,
    cert_facts=cert_facts,
    nss_user=texts,
    last_need_notify_check=times,
    last_need_enroll_check=times,
    template=templates,
    csr=pems,
    spkac=words,
    scep=scep_messages,
    autorenew=st.booleans(),
    monitor=st.booleans(),
    ca_name=texts.map(CaName),
    submitted=times,
    ca_cookie=texts,
    ca_error=texts,
    cert=pems,
    cert_chain=certificates,
    cert_roots=certificates,
    pre_save=hooks,
    post_save=hooks,
    ca_certs=ca_certs,
    notification=st.builds(Notification, method=texts, destination=texts),
    declared_by=texts,
    unknown=_unknown(_REQUEST_KEYS),
)

cas = st.builds(
    Ca,
    id=some_text.map(CaName),
    aka=texts,
    issuer_names=lists,
    is_default=st.booleans(),
    type=st.just(CaType.EXTERNAL),
    internal_serial=words,
    internal_issue_time=st.one_of(st.none(), counts),
    external_helper=texts,
    root_certs=certificates,
    other_root_certs=certificates,
    other_certs=certificates,
    required_enroll_attributes=lists,
    required_renewal_attributes=lists,
    profiles=lists,
    default_profile=texts,
    pre_save=hooks,
    post_save=hooks,
    ca_certs=ca_certs,
    declared_by=texts,
    capabilities=lists,
    scep_cipher=texts,
    scep_digest=texts,
    scep_ca_identifier=texts,
    encryption_cert=pems,
    encryption_issuer_cert=pems,
    encryption_cert_pool=pems,
    unknown=_unknown(_CA_KEYS),
)
