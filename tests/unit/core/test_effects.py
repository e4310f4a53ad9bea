"""What has to be on disk before it is done."""

import pytest

from certmongerd.core.effects import (
    AskRenewalInfo,
    BuildCsr,
    BuildScep,
    Effect,
    GenerateKey,
    Notice,
    Notify,
    Operation,
    ReadCert,
    ReadKey,
    RunPostSave,
    RunPreSave,
    SaveCaCerts,
    SaveCert,
    Submit,
    has_outside_consequences,
)


@pytest.mark.parametrize(
    "effect",
    [Submit(operation, with_scep=True) for operation in Operation] + [RunPreSave(), SaveCert(), RunPostSave()],
)
def test_what_others_would_notice_twice_is_stored_first(effect: Effect) -> None:
    assert has_outside_consequences(effect)


@pytest.mark.parametrize(
    "effect",
    [
        ReadKey(),
        ReadCert(),
        GenerateKey(),
        BuildCsr(),
        BuildScep(),
        SaveCaCerts(),
        Notify(Notice.VALIDITY),
        AskRenewalInfo(),
    ],
)
def test_what_can_be_repeated_unnoticed_is_not_waited_for(effect: Effect) -> None:
    assert not has_outside_consequences(effect)
