"""Budgets, and what passes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.drill.budget import (
    DEFAULTS,
    DRILLS,
    MEASURES,
    BudgetError,
    budgets,
    drill,
)
from ansible_collections.sipha.cluster.plugins.module_utils.drill.observations import read
from ansible_collections.sipha.cluster.plugins.module_utils.drill.timeline import measure
from ansible_collections.sipha.cluster.plugins.module_utils.drill.verdict import Verdict, judge
from drill_cases import FAULT, held, lines, observations, records
from hypothesis import HealthCheck, given, settings
from junk import junk

JUDGED = [name for name, allowed in DEFAULTS.items() if allowed is not None]


def verdict(name: str = "keepalived_killed", inventory: Any = None, **changes: Any) -> Verdict:
    seen = read(observations(**changes))
    return judge(name, budgets(name, inventory), measure(seen, drill(name).partition), seen)


def test_a_good_drill_passes_and_says_its_outages() -> None:
    result = verdict()
    assert result.passed
    assert result.reasons == []
    assert [line.measure for line in result.lines] == [name for name in MEASURES if name in JUDGED]
    assert result.text == ("keepalived_killed: passed (OPTIONS outage 0.42 s, REGISTER outage 0.42 s, Write outage 0.42 s)")
    assert result.lines[0].sentence == ("OPTIONS outage: 0.42 s, within the 1 s allowed (750 of 750 answered well, 0 refused, 0 lost)")


def test_a_late_probe_passes_or_fails_only_where_its_lateness_makes_no_difference() -> None:
    def late(outage: float) -> Verdict:
        rows = records(gap=(FAULT, FAULT + outage))
        rows[10].sent = rows[10].scheduled + 0.3
        return verdict(probes={"options": lines(rows), "register": lines(records()), "write": lines(records())})

    off = "give or take 0.30 s that the probe was late"
    good, near, under, bad = (late(outage) for outage in (0.4, 1.2, 0.8, 1.4))
    assert (good.passed, near.passed, under.passed, bad.passed) == (True, False, False, False)
    assert good.lines[0].sentence.startswith(f"OPTIONS outage: 0.42 s, within the 1 s allowed, {off} (750 of 750 ")
    for one, seconds in ((near, "1.22"), (under, "0.82")):
        assert one.reasons == [f"OPTIONS outage: {seconds} s, {off}: too near to the 1 s allowed to tell; this counts as failed"]
    assert bad.reasons == [f"OPTIONS outage: 1.42 s, more than the 1 s allowed, {off} (750 of 750 answered well, 0 refused, 0 lost)"]


BROKEN: dict[str, dict[str, Any]] = {
    "outage_options": {"probes": {name: lines(records(gap=(FAULT, FAULT + 1.2))) for name in ("options", "register", "write")}},
    "two_holders": {"holders": held(overlap=1.0)},
    "two_pingers": {"pingers": held(overlap=2.0)},
    "holders_at_end": {"holders": held(overlap=100)},
    "registrations_lost": {"kept": {**observations()["kept"], "location": {"before": ["a"], "after": []}}},
    "cdrs_lost": {"kept": {**observations()["kept"], "cdrs": {"before": ["a"], "after": []}}},
    "rows_lost": {"kept": {**observations()["kept"], "rows": {"before": ["a"], "after": []}}},
    "calls_ended": {"calls": {**observations()["calls"], "ended": 1}},
    "calls_silent": {"calls": {**observations()["calls"], "silent": 1}},
    "calls_failed": {"calls": {**observations()["calls"], "failed": 1}},
    "calls_cut_off": {"calls": {**observations()["calls"], "cut_off": 1}},
    "cdrs_cut_off": {
        "kept": {**observations()["kept"], "cdrs": {"before": ["c1", "c2"], "after": ["c1"]}},
        "last_ended": ["c2", "c3"],
    },
    "changes": {"changes": 1},
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_budget_fails_by_itself(name: str) -> None:
    result = verdict(**BROKEN[name])
    failed = [line for line in result.lines if line.passed is False]
    assert not result.passed
    assert name in {line.measure for line in failed}
    assert f"keepalived_killed: FAILED: {failed[0].title}: " in result.text
    assert "more than the" in failed[0].sentence


@pytest.mark.parametrize("name", JUDGED)
def test_a_missing_measurement_is_never_a_pass(name: str) -> None:
    seen = read(observations())
    found = measure(seen)
    del found[name]
    result = judge("keepalived_killed", budgets("keepalived_killed"), found, seen)
    assert not result.passed
    assert result.reasons == [f"{MEASURES[name].title}: not measured, nobody looked; this counts as failed"]


def test_nothing_observed_fails_everything() -> None:
    seen = read({})
    result = judge("keepalived_killed", budgets("keepalived_killed"), measure(seen), seen)
    assert [line.passed for line in result.lines] == [False] * len(JUDGED)
    assert result.text.startswith("keepalived_killed: FAILED: No fault is recorded: nothing was broken (and ")
    assert not judge("keepalived_killed", {}, measure(seen), read(observations())).passed


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"confirmed": None}, "was not looked at: a drill that breaks nothing proves nothing"),
        ({"confirmed": False}, "was looked at and had not happened"),
        ({"end": None}, "Fault “x” on sip1 was never healed"),
    ],
)
def test_a_fault_that_did_not_happen_or_did_not_end_fails_the_drill(changes: dict[str, Any], says: str) -> None:
    result = verdict(faults=[{"name": "x", "host": "sip1", "start": FAULT, "end": FAULT + 5, "confirmed": True, **changes}])
    assert not result.passed
    assert len(result.reasons) == 1
    assert says in result.reasons[0]


def test_a_drill_that_was_not_done_to_its_end_fails_and_says_where() -> None:
    result = verdict(stopped="Observe | Calls are up: 3 of 50")
    assert result.text == "keepalived_killed: FAILED: It could not be done to its end: Observe | Calls are up: 3 of 50"
    bare = judge("keepalived_killed", {}, {}, read({"stopped": "Calls are up"}))
    assert (bare.passed, bare.reasons) == (False, ["It could not be done to its end: Calls are up"])


def test_the_inventory_may_be_stricter_looser_or_not_judge() -> None:
    assert not verdict(inventory={"all": {"outage_options": 0.4}}).passed
    assert verdict(inventory={"all": {"outage_options": 0.4}, "keepalived_killed": {"outage_options": 0.42000001}}).passed
    assert budgets("writer_killed", {"all": {"outage_register": 0.5}})["outage_register"] == 3.0
    result = verdict(inventory={"keepalived_killed": {"two_holders": None}}, holders=held(overlap=3.0))
    assert result.passed
    line = next(line for line in result.lines if line.measure == "two_holders")
    assert (line.passed, line.word) == (None, "not judged")
    assert line.sentence.endswith("not judged here")
    asked_for = verdict(inventory={"all": {"outage_options_v6": 1}})
    assert asked_for.reasons == ["OPTIONS outage, IPv6: not measured, this observer delivered nothing; this counts as failed"]


def test_a_partition_excuses_two_holders_only_while_it_lasts() -> None:
    assert verdict("vrrp_lost", holders=held(overlap=4.5)).passed
    assert not verdict("keepalived_killed", holders=held(overlap=4.5)).passed
    assert not verdict("vrrp_lost", holders=held(overlap=6.0)).passed


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "sipha_drill_budgets is list, set it to a mapping"),
        ({"host_kiled": {}}, "sipha_drill_budgets: there is no drill 'host_kiled', did you mean host_killed?"),
        ({"zzz": {}}, "there is no drill 'zzz', there are all, all_databases_lost"),
        ({"all": {"outage_option": 1}}, "sipha_drill_budgets.all: there is no measure 'outage_option', did you mean outage_options?"),
        ({"all": 1}, "sipha_drill_budgets.all is int"),
        ({"all": {"changes": -1}}, "sipha_drill_budgets.all.changes is -1, set it to a number from 0"),
        ({"all": {"changes": True}}, "changes is True"),
        ({"all": {"changes": float("nan")}}, "changes is nan"),
        ({"relay_killed": {"changes": "1"}}, "sipha_drill_budgets.relay_killed.changes is '1'"),
    ],
)
def test_wrong_budgets_are_refused(given: Any, says: str) -> None:
    with pytest.raises(BudgetError) as error:
        budgets("keepalived_killed", given)
    assert says in str(error.value)
    with pytest.raises(BudgetError, match="there is no drill 'x'"):
        budgets("x")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(junk("all", "keepalived_killed", {"all": {"changes": 1}}))
def test_junk_as_budgets_is_refused_or_taken_whole(value: Any) -> None:
    try:
        found = budgets("keepalived_killed", value)
    except BudgetError:
        return
    assert set(found) == set(MEASURES)


def test_the_tables_are_whole() -> None:
    assert set(DEFAULTS) == set(MEASURES)
    for name, one in DRILLS.items():
        assert name == one.name
        assert set(one.budgets) <= set(MEASURES)
        assert 0 < one.seconds <= 60
        assert one.target in {"holder", "proxies", "writer", "databases", "relay", "holder+database"}
        assert one.title
        assert one.breaks


def test_the_page_about_reports_has_every_measure_and_drill_as_it_is() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "drills_reading.md").read_text()
    for name, kind in MEASURES.items():
        allowed = DEFAULTS[name]
        limit = "not judged" if allowed is None else f"{allowed:g} {kind.unit}".strip()
        assert f"| `{name}` | {kind.title} | {kind.what} | {limit} |" in text
    for name, one in DRILLS.items():
        own = ", ".join(f"`{measure}` {'not judged' if value is None else f'{value:g}'}" for measure, value in one.budgets.items())
        excused = "two holders while it lasts" if one.partition else ""
        assert f"| `{name}` | {one.breaks} | {one.target} | {one.seconds:g} | {'; '.join(filter(None, (own, excused))) or '-'} |" in text
    assert text.count("\n| `") == len(MEASURES) + len(DRILLS)
