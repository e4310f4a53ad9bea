"""`certmongerd --check-config`: what is wrong with the configuration, without starting anything."""

import os
import sys

from certmongerd.config.builtin import builtin_cas
from certmongerd.config.load import load_settings
from certmongerd.config.paths import Paths, is_session_program, session_paths, system_paths
from certmongerd.core.errors import StateStoreError
from certmongerd.dropins import find_drop_ins, read_drop_ins
from certmongerd.store.repository import Repository


def check_configuration() -> int:
    """Print what a daemon of this user would find wrong, one line each; the exit status: 0 when there is nothing."""
    paths = session_paths(os.environ) if is_session_program(sys.argv[0]) else system_paths(os.environ)
    findings = _findings(paths)
    for finding in findings:
        print(finding)
    if not findings:
        print(f"{paths.config_file}: no mistakes were found.")
    return 1 if findings else 0


def _findings(paths: Paths) -> list[str]:
    loaded = load_settings(paths.config_file)
    findings = [str(problem) for problem in loaded.problems]
    default_ca, known = loaded.settings.default_ca, _known_cas(paths)
    if default_ca and known and default_ca not in known:
        findings.append(f'{paths.config_file}: default_ca: there is no CA "{default_ca}"')
    return findings + _mistakes_in_drop_ins(paths)


def _mistakes_in_drop_ins(paths: Paths) -> list[str]:
    """What is wrong with declarations, as far as that shows without applying them."""
    try:
        drop_ins = find_drop_ins(paths.drop_in_dir)
    except OSError as exc:
        return [f"{paths.drop_in_dir}: cannot be read: {exc.strerror}"]
    return list(read_drop_ins(drop_ins).mistakes) if drop_ins else []


def _known_cas(paths: Paths) -> frozenset[str]:
    """The names of CAs that are there or will be; empty when the state cannot be looked at."""
    try:
        stored = Repository(paths.requests_dir, paths.cas_dir).load().cas
    except StateStoreError:
        return frozenset()
    return frozenset(entry.value.id for entry in stored) | {ca.id for ca in builtin_cas("")}
