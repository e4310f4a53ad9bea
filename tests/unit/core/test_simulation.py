"""Foretelling: the machine's own decisions, on assumptions about CAs."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import pytest
from fakes.request_world import NOW, PLAIN_CA, SCEP_CA, World, facts, monitored, monitored_world, new_request
from hypothesis import given, settings
from hypothesis import strategies as st

from certmongerd.core.effects import Operation, Submit
from certmongerd.core.events import Event, Unreachable, Working
from certmongerd.core.ids import CaName, Nickname
from certmongerd.core.model import Request
from certmongerd.core.simulation import Assumptions, Forecast, Lapse, Outage, simulate
from certmongerd.core.states import State
from certmongerd.core.step import Policy

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
YEAR: Final = timedelta(days=365)
CAS: Final = (PLAIN_CA, SCEP_CA)


def watched(name: str, ca: CaName = PLAIN_CA.id, life: timedelta = YEAR, age: timedelta = timedelta(0)) -> Request:
    """A request with a certificate that is *age* old, as the engine keeps it."""
    request = replace(monitored(certificate=facts(NOW - age, life)), id=Nickname(name), ca_name=ca)
    return replace(request, last_need_enroll_check=NOW, last_need_notify_check=NOW)


def foretell(*requests: Request, until: datetime, policy: Policy | None = None, **more: Any) -> Forecast:
    """The forecast for *requests*; *more* are assumptions."""
    return simulate(requests, CAS, policy or Policy(), NOW, Assumptions(until=until, **more))


def test_a_year_s_certificate_is_renewed_each_year_four_weeks_before_its_end() -> None:
    forecast = foretell(watched("web"), until=NOW + 3 * YEAR)
    first = NOW + YEAR - 28 * DAY + timedelta(seconds=1)
    second = first + YEAR - 28 * DAY + timedelta(seconds=1)
    third = second + YEAR - 28 * DAY + timedelta(seconds=1)
    assert [renewal.at for renewal in forecast.renewals] == [first, second, third]
    assert {(renewal.request, renewal.ca, renewal.has_new_key) for renewal in forecast.renewals} == {
        ("web", "plain", False)
    }
    assert (forecast.lapses, forecast.resting, forecast.is_complete) == ((), (), True)


@settings(max_examples=15, deadline=None)
@given(
    life=st.integers(3600, 400 * 86400).map(lambda s: timedelta(seconds=s)),
    seed=st.none() | st.text(max_size=3),
    begin=st.floats(0.3, 1),
    length=st.floats(0, 0.6),
    uses=st.integers(0, 3),
    delay_h=st.integers(0, 30),
)
def test_what_is_foretold_is_what_comes(
    life: timedelta, seed: str | None, begin: float, length: float, uses: int, delay_h: int
) -> None:
    policy = Policy(spread_seed=seed, max_key_use_count=uses)
    delay = min(timedelta(hours=delay_h), life / 8)
    delay -= delay % timedelta(seconds=1)
    down = Outage(begin=NOW + life * begin, end=NOW + life * (begin + length))
    until = NOW + 3 * life

    def answer(world: World, effect: Submit) -> Event:
        if down.begin <= world.now < down.end:
            return Unreachable("down")
        if delay and effect.operation is Operation.SUBMIT:
            return Working(cookie="c", delay=delay)
        return world.issue(life)

    world = monitored_world(life, answer=answer, policy=policy)
    forecast = simulate([world.request], CAS, policy, NOW, Assumptions(until=until, outages=(down,), delay=delay))
    world.live(3 * life, most_waits=100_000)
    assert len(forecast.renewals) == world.issued
    assert sum(load.submissions for load in forecast.loads) == len(world.times_of(Submit))
    if forecast.renewals:
        saved = [at for at, effect in world.effects if type(effect).__name__ == "SaveCert"]
        assert [renewal.at for renewal in forecast.renewals] == saved


def test_an_outage_puts_renewals_off_and_lets_certificates_expire() -> None:
    outage = Outage(begin=NOW + 300 * DAY, end=NOW + 400 * DAY)
    forecast = foretell(watched("web"), until=NOW + 500 * DAY, outages=(outage,))
    (renewal,) = forecast.renewals
    assert outage.end <= renewal.at <= outage.end + 6 * HOUR
    assert renewal.submissions > 10
    assert forecast.lapses == (Lapse(request=Nickname("web"), begin=NOW + YEAR, end=renewal.at),)


def test_an_outage_without_end_shows_what_is_not_renewed() -> None:
    forecast = foretell(watched("web"), until=NOW + 2 * YEAR, outages=(Outage(begin=NOW, end=NOW + 3 * YEAR),))
    assert forecast.renewals == ()
    assert forecast.lapses == (Lapse(request=Nickname("web"), begin=NOW + YEAR, end=None),)


def test_an_outage_of_one_ca_is_no_outage_of_the_others() -> None:
    outage = Outage(ca=SCEP_CA.id, begin=NOW, end=NOW + 3 * YEAR)
    forecast = foretell(watched("a"), watched("b", SCEP_CA.id), until=NOW + YEAR, outages=(outage,))
    assert [renewal.request for renewal in forecast.renewals] == ["a"]
    assert [load.ca for load in forecast.loads] == ["plain", "scep"]


def test_a_ca_that_takes_days_is_polled_once_when_it_has_decided() -> None:
    forecast = foretell(watched("web"), until=NOW + YEAR, delay=3 * DAY)
    (renewal,) = forecast.renewals
    assert (renewal.submissions, renewal.at) == (2, NOW + YEAR - 25 * DAY + timedelta(seconds=1))


def test_another_life_counts_from_the_next_certificate_on() -> None:
    forecast = foretell(watched("web"), until=NOW + YEAR, life=10 * DAY)
    first, *others = (renewal.at for renewal in forecast.renewals)
    assert first == NOW + YEAR - 28 * DAY + timedelta(seconds=1)
    assert len(others) >= 5


def test_key_changes_are_shown() -> None:
    forecast = foretell(watched("web"), until=NOW + 4 * YEAR, policy=Policy(max_key_use_count=2))
    assert [renewal.has_new_key for renewal in forecast.renewals] == [False, False, True, False]


def test_the_load_of_a_ca_has_its_busiest_hour_and_day() -> None:
    together = [watched(f"web{number}") for number in range(5)]
    later = [watched("late", age=-2 * HOUR), watched("later", age=-3 * DAY)]
    (load,) = foretell(*together, *later, until=NOW + YEAR).loads
    assert (load.submissions, load.in_hour, load.in_day) == (7, 5, 6)
    assert load.hour == NOW + YEAR - 28 * DAY
    assert load.day == load.hour.replace(hour=0)


def test_spreading_shows_in_the_load() -> None:
    together = [watched(f"web{number}") for number in range(200)]
    at_once = foretell(*together, until=NOW + YEAR).loads[0]
    spread = foretell(*together, until=NOW + YEAR, policy=Policy(spread_seed="host")).loads[0]
    assert at_once.in_hour == 200
    assert spread.in_hour <= 10
    assert at_once.submissions == spread.submissions == 200


@pytest.mark.parametrize("state", [State.NEED_GUIDANCE, State.NEED_CSR_GEN_PIN, State.CA_REJECTED])
def test_what_waits_for_a_person_rests_and_expires(state: State) -> None:
    forecast = foretell(replace(watched("web"), state=state), until=NOW + 2 * YEAR)
    assert forecast.resting == (("web", state),)
    assert forecast.lapses == (Lapse(request=Nickname("web"), begin=NOW + YEAR, end=None),)


def test_what_is_not_to_be_renewed_is_not() -> None:
    forecast = foretell(replace(watched("web"), autorenew=False), until=NOW + 2 * YEAR)
    assert (forecast.renewals, forecast.resting) == ((), (("web", State.MONITORING),))


def test_a_request_at_work_and_one_that_waits_for_its_ca_go_on_from_there() -> None:
    due = NOW + 5 * HOUR
    waiting = replace(watched("waits"), state=State.CA_UNREACHABLE, next_attempt=due, attempts=4, csr="CSR")
    enrolling = replace(new_request(), id=Nickname("new"))
    forecast = foretell(waiting, enrolling, until=NOW + DAY)
    assert {renewal.request: renewal.at for renewal in forecast.renewals} == {"waits": due, "new": NOW}


def test_scep_and_unknown_cas_are_simulated_too() -> None:
    forecast = foretell(watched("scep", SCEP_CA.id), watched("lost", CaName("gone")), until=NOW + 2 * YEAR)
    assert {renewal.request for renewal in forecast.renewals} == {"scep"}
    assert forecast.resting == (("lost", State.NEED_CA),)


def test_too_much_is_given_up_at_one_moment_for_all() -> None:
    short = [watched(f"web{number}", life=HOUR) for number in range(5)]
    forecast = simulate(short, CAS, Policy(), NOW, Assumptions(until=NOW + YEAR), most_steps=5_000)
    assert not forecast.is_complete
    assert NOW < forecast.end < NOW + YEAR
    counts = [sum(renewal.request == request.id for renewal in forecast.renewals) for request in short]
    assert max(counts) - min(counts) <= 1


def test_a_simulation_that_nobody_wants_any_more_ends() -> None:
    forecast = simulate([watched("web")], CAS, Policy(), NOW, Assumptions(until=NOW + YEAR), is_wanted=lambda: False)
    assert (forecast.is_complete, forecast.renewals) == (False, ())


@pytest.mark.parametrize("nonsense", [{"delay": -HOUR}, {"life": timedelta(0)}])
def test_times_that_make_no_sense_are_refused(nonsense: dict[str, timedelta]) -> None:
    with pytest.raises(ValueError, match="makes no sense"):
        Assumptions(until=NOW, **nonsense)  # type: ignore[arg-type]
