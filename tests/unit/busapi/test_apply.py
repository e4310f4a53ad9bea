"""Applying documents: what is added, changed, removed or left alone, and what is said about it."""

from dataclasses import replace
from pathlib import Path

import pytest
from fakes.caller import Client
from fakes.service import FakeService

from certmongerd.api import EXTENDED_MANAGER_INTERFACE, ROOT_PATH
from certmongerd.busapi.apply import Application, apply
from certmongerd.busapi.dispatch import CertmongerApi
from certmongerd.busapi.service import Caller, RequestCommand
from certmongerd.core.ids import CaName
from certmongerd.core.model import Ca, CaType, Hook, KeyAlgorithm, Request
from certmongerd.core.secret import Secret
from certmongerd.declared.document import read_document

CALLER = Caller(uid=7)


class Host:
    """A daemon and the folder that documents name files in."""

    def __init__(self, service: FakeService, api: CertmongerApi, directory: Path) -> None:
        self.service = service
        self._api = api
        self._directory = directory

    async def apply(
        self, text: str, *, owner: str = "apply x", is_trial: bool = False, prunes: bool = False
    ) -> list[str]:
        """Apply *text*, in which $D is the folder; `effect: text` of each outcome."""
        document = read_document("x", text.replace("$D", str(self._directory)), "/helpers")
        application = Application(document=document, owner=owner, is_trial=is_trial, prunes=prunes)
        outcomes = await apply(application, CALLER, self._api.context)
        return [f"{o.effect}: {o.text.replace(str(self._directory), '$D')}" for o in outcomes]

    def request(self, name: str) -> Request:
        (found,) = (request for request in self.service.requests().values() if request.id == name)
        return found

    def ca(self, name: str) -> Ca:
        (found,) = (ca for ca in self.service.cas().values() if ca.id == name)
        return found


@pytest.fixture
async def host(service: FakeService, api: CertmongerApi, tmp_path: Path) -> Host:
    await service.add_ca(Ca(id=CaName("local"), external_helper="/x"))
    await service.add_ca(Ca(id=CaName("SelfSign"), type=CaType.INTERNAL_SELF))
    return Host(service, api, tmp_path)


WEB = "requests:\n- id: web\n  ca: local\n  certfile: $D/web.crt\n  keyfile: $D/web.key\n"
CORP = "cas:\n- name: corp\n  command: /corp-submit\n"


async def test_what_is_missing_is_added(host: Host) -> None:
    text = CORP + WEB.replace("local", "corp") + "  key-type: EC\n  dns: [a, b]\n  after-command: reload\n"
    assert await host.apply(text) == ['added: CA "corp" added.', 'added: Request "web" added.']
    web = host.request("web")
    assert (web.ca_name, web.key.gen_type, web.template.hostname) == ("corp", KeyAlgorithm.EC, ("a", "b"))
    assert web.post_save == Hook(command="reload", uid="7")
    assert (web.declared_by, host.ca("corp").declared_by) == ("apply x", "apply x")
    assert host.ca("corp").external_helper == "/corp-submit"


async def test_the_second_time_nothing_is_done(host: Host) -> None:
    text = CORP + "  default: true\n" + WEB + "  dns: [a]\n  key-perms: 640\n  pin: x\n"
    await host.apply(text)
    before = host.request("web")
    assert await host.apply(text) == [
        'unchanged: CA "corp" is as declared.',
        'unchanged: Request "web" is as declared.',
    ]
    assert host.request("web") is before
    assert host.service.commands == []


async def test_what_differs_is_changed_and_the_rest_left_alone(host: Host) -> None:
    await host.apply(WEB + "  dns: [a]\n  email: [e@example.org]\n")
    changed = await host.apply(WEB + "  dns: [b]\n  after-command: reload\n")
    assert changed == ['changed: Request "web" changed (dns, after-command); a new certificate is asked for.']
    assert host.request("web").template.hostname == ("b",)
    assert host.request("web").template.email == ("e@example.org",)
    assert [command for _, command in host.service.commands] == [RequestCommand.RESUBMIT]


@pytest.mark.parametrize(
    "line", ["after-command: reload", "cert-perms: 644", "challenge-password: x", "key-size: 4096"]
)
async def test_no_certificate_is_asked_for_when_it_would_be_the_same(host: Host, line: str) -> None:
    await host.apply(WEB)
    word = line.partition(":")[0]
    assert await host.apply(WEB + f"  {line}\n") == [f'changed: Request "web" changed ({word}).']
    assert host.service.commands == []


async def test_an_empty_list_takes_names_away(host: Host) -> None:
    await host.apply(WEB + "  dns: [a]\n  before-command: stop\n")
    await host.apply(WEB + "  dns: []\n  before-command: ''\n")
    assert host.request("web").template.hostname == ()
    assert host.request("web").pre_save == Hook()


async def test_another_ca_means_another_certificate(host: Host) -> None:
    await host.apply(WEB)
    assert await host.apply(WEB.replace("local", "SelfSign")) == [
        'changed: Request "web" changed (ca); a new certificate is asked for.'
    ]
    assert host.request("web").ca_name == "SelfSign"


async def test_a_challenge_password_that_was_used_up_is_not_set_again(host: Host) -> None:
    host.service.forgetful = True
    text = WEB + "  challenge-password: once\n"
    await host.apply(text)
    (path,) = host.service.requests()
    assert host.request("web").template.challenge_password == Secret("once")
    request = host.request("web")
    host.service.set_request(
        path, replace(request, cert="PEM", template=replace(request.template, challenge_password=None))
    )
    assert await host.apply(text) == ['unchanged: Request "web" is as declared.']


@pytest.mark.parametrize(
    ("other", "shown"),
    [
        (WEB.replace("web.crt", "other.crt"), '"$D/web.crt", "$D/other.crt"'),
        (WEB.replace("web.key", "other.key"), '"$D/web.key", "$D/other.key"'),
        (WEB.replace("  keyfile: $D/web.key\n", ""), '"FILE", "NONE"'),
    ],
)
async def test_keys_and_certificates_are_not_moved(host: Host, other: str, shown: str) -> None:
    await host.apply(WEB)
    (outcome,) = await host.apply(other)
    assert outcome == (
        f'mistake: x:2: request "web": Its key and certificate are elsewhere ({shown}) and are not moved; '
        "give it another id, or stop tracking it first"
    )


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (WEB.replace("local", "nosuch"), 'x:2: request "web": There is no CA "nosuch"'),
        (WEB.replace("$D/web.key", "/nowhere/web.key"), 'x:2: request "web": The parent of location'),
        (WEB + "  subject-name: CN=a,=b\n", 'x:2: request "web": The subject name'),
        (WEB + "  ip-address: 300.0.0.1\n", 'x:2: request "web": "300.0.0.1" is not an IP address.'),
        (WEB + "  ca-file: relative\n", 'x:2: request "web": The location "relative" must be an absolute path.'),
        ("cas:\n- name: nosuch\n  default: true\n", 'x:2: CA "nosuch": There is no such CA, and neither'),
        ("cas:\n- name: LOCAL\n  command: /x\n", 'x:2: CA "LOCAL": There is already a CA with the nickname "local".'),
        ("cas:\n- name: SelfSign\n  command: /x\n", 'x:2: CA "SelfSign": It is built in'),
        ("cas:\n- name: local\n  ca-file: /nowhere/ca\n", 'x:2: CA "local": The parent of location'),
    ],
)
@pytest.mark.parametrize("is_trial", [True, False])
async def test_what_cannot_be_had_is_told_and_the_rest_is_done(
    host: Host, text: str, mistake: str, is_trial: bool
) -> None:
    rest = "- id: rest\n  ca: local\n  certfile: $D/rest.crt\n"
    outcomes = await host.apply(text + ("requests:\n" if "cas:" in text else "") + rest, is_trial=is_trial)
    assert outcomes[0].startswith(f"mistake: {mistake}")
    assert outcomes[1:] == [f'added: Request "rest" {"would be " if is_trial else ""}added.']


async def test_a_setting_that_cannot_be_changed_leaves_the_request_as_it_was(host: Host) -> None:
    await host.apply(WEB)
    before = host.request("web")
    (outcome,) = await host.apply(WEB + "  dns: [b]\n  key-type: DSA\n")
    assert outcome == 'mistake: x:2: request "web": No support for key type "DSA".'
    assert host.request("web") is before


async def test_a_document_with_mistakes_is_not_applied_at_all(host: Host) -> None:
    assert await host.apply(WEB + "- id: other\n") == [
        "mistake: x:6: a request needs certfile, and mostly keyfile; or dbdir and nickname"
    ]
    assert not host.service.requests()


async def test_a_trial_changes_nothing(host: Host) -> None:
    assert await host.apply(CORP + WEB, is_trial=True) == [
        'added: CA "corp" would be added.',
        'added: Request "web" would be added.',
    ]
    assert not host.service.requests()
    await host.apply(CORP + WEB)
    assert await host.apply(WEB + "  dns: [a]\n", is_trial=True, prunes=True) == [
        'changed: Request "web" would be changed (dns); a new certificate would be asked for.',
        'removed: CA "corp" would be removed, it is no longer declared.',
    ]
    assert host.request("web").template.hostname == ()
    assert host.ca("corp").external_helper == "/corp-submit"


@pytest.mark.parametrize("is_trial", [True, False])
async def test_two_requests_for_one_file_are_found_in_a_trial_too(host: Host, is_trial: bool) -> None:
    (_, outcome) = await host.apply(WEB + "- {id: b, certfile: $D/web.crt}\n", is_trial=is_trial)
    assert outcome.startswith('mistake: x:6: request "b": Certificate at same location is already used by request')


async def test_only_what_the_same_document_added_is_pruned(host: Host) -> None:
    await host.apply("requests:\n- {id: hand, certfile: $D/h.crt}\n", owner="")
    await host.apply("requests:\n- {id: other, certfile: $D/o.crt}\n", owner="apply other")
    await host.apply(CORP + WEB)
    assert await host.apply("") == [
        'kept: Request "web" is no longer declared; it is still tracked.',
        'kept: CA "corp" is no longer declared; it is still there.',
    ]
    assert await host.apply("", prunes=True) == [
        'removed: Request "web" removed, it is no longer declared.',
        'removed: CA "corp" removed, it is no longer declared.',
    ]
    assert {request.id for request in host.service.requests().values()} == {"hand", "other"}


async def test_a_ca_that_is_used_is_not_pruned(host: Host) -> None:
    await host.apply(CORP)
    await host.apply("requests:\n- {id: hand, ca: corp, certfile: $D/h.crt}\n", owner="")
    assert await host.apply("", prunes=True) == ['kept: CA "corp" is no longer declared, but request "hand" uses it.']


@pytest.mark.parametrize("is_trial", [True, False])
async def test_another_request_can_take_the_files_of_one_that_is_pruned(host: Host, is_trial: bool) -> None:
    await host.apply(WEB)
    would_be = "would be " if is_trial else ""
    assert await host.apply(WEB.replace("id: web", "id: new"), prunes=True, is_trial=is_trial) == [
        f'removed: Request "web" {would_be}removed, it is no longer declared.',
        f'added: Request "new" {would_be}added.',
    ]


async def test_what_was_added_by_hand_is_changed_but_never_owned(host: Host) -> None:
    await host.apply(WEB, owner="")
    await host.apply(WEB + "  dns: [a]\n")
    assert host.request("web").declared_by == ""
    assert await host.apply("", prunes=True) == []
    assert host.request("web").template.hostname == ("a",)


async def test_the_last_document_that_declares_something_owns_it_but_drop_ins_keep_theirs(host: Host) -> None:
    await host.apply(CORP + WEB)
    taken = await host.apply(CORP + WEB, owner="apply elsewhere")
    assert taken == ['changed: CA "corp" changed.', 'changed: Request "web" changed.']
    await host.apply(CORP + WEB, owner="certmonger.conf.d")
    outcomes = await host.apply(CORP + WEB)
    assert [outcome.partition('": ')[2] for outcome in outcomes] == [
        "It is declared in certmonger.conf.d, and has to be changed there"
    ] * 2


async def test_at_most_one_ca_is_the_default(host: Host) -> None:
    await host.apply("cas:\n- {name: local, default: true}\n")
    await host.apply(CORP + "  default: true\n")
    assert host.ca("corp").is_default


async def test_the_method_of_the_bus_applies_a_document(client: Client, service: FakeService, tmp_path: Path) -> None:
    text = f"requests:\n- {{id: web, certfile: {tmp_path}/web.crt}}\n"
    body = ("/etc/web.yaml", text, False, False)
    (outcomes,) = await client.call(ROOT_PATH, EXTENDED_MANAGER_INTERFACE, "apply", "ssbb", body)
    assert [tuple(outcome) for outcome in outcomes] == [("added", 'Request "web" added.')]  # type: ignore[attr-defined]
    (request,) = service.requests().values()
    assert request.declared_by == "apply /etc/web.yaml"
