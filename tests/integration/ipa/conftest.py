"""One Kerberos realm for all tests of ipa-submit, a server for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ipa_rig import IpaRig
from kerberos_realm import KerberosRealm


@pytest.fixture(scope="package")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KerberosRealm]:
    realm = KerberosRealm(tmp_path_factory.mktemp("realm"))
    realm.start()
    yield realm
    realm.close()


@pytest.fixture
def rig(realm: KerberosRealm, tmp_path: Path) -> Iterator[IpaRig]:
    with IpaRig.running(realm, tmp_path) as rig:
        yield rig
