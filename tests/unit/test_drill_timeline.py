"""From what observers wrote down to the numbers that budgets are about."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.drill import samples as states
from ansible_collections.sipha.cluster.plugins.module_utils.drill.observations import ObservationError, read
from ansible_collections.sipha.cluster.plugins.module_utils.drill.samples import Sample, Span
from ansible_collections.sipha.cluster.plugins.module_utils.drill.timeline import Measure, measure, runs
from drill_cases import END, FAULT, START, held, lines, observations, records
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def numbers(partition: bool = False, **changes: Any) -> dict[str, Measure]:
    return measure(read(observations(**changes)), partition)


def test_a_drill_that_went_well_has_all_its_numbers() -> None:
    found = numbers()
    assert found["outage_options"].value == pytest.approx(0.42, abs=0.001)
    assert found["outage_options"].detail == "750 of 750 answered well, 0 refused, 0 lost"
    zero = (
        "lost_requests",
        "trouble_before",
        "two_holders",
        "two_pingers",
        "holders_at_end",
        "registrations_lost",
        "cdrs_lost",
        "rows_lost",
    )
    assert {name: found[name].value for name in zero} == dict.fromkeys(zero, 0)
    assert [found[name].value for name in ("calls_ended", "calls_silent", "calls_failed", "calls_cut_off", "changes")] == [0, 0, 0, 0, 0]
    assert found["holders_at_end"].detail == "main: sip2"
    assert {name for name, one in found.items() if one.value is None} == {
        *(f"outage_{name}" for name in ("options_tcp", "register_tcp", "options_v6", "register_v6")),
        "audio_gap",
    }


def test_two_holders_are_counted_and_named_but_not_what_a_partition_is() -> None:
    found = numbers(holders=held(overlap=2.0))
    assert found["two_holders"].value == pytest.approx(1.95)
    assert found["two_holders"].detail == "main: sip1, sip2 for 1.95 s"
    assert numbers(partition=True, holders=held(overlap=2.0))["two_holders"].value == 0
    after = numbers(partition=True, holders=held(overlap=6.0))["two_holders"].value
    assert after == pytest.approx(1.25)  # what went on after the partition had been healed
    assert numbers(holders=held(overlap=100.0))["holders_at_end"] == Measure(1, "main: sip1, sip2")


def test_nothing_that_was_not_looked_at_has_a_number() -> None:
    for changes, name, why in (
        ({"probes": {}}, "outage_options", "this observer delivered nothing"),
        ({"probes": {}}, "lost_requests", "no probe over UDP delivered anything"),
        ({"probes": {}}, "trouble_before", "no probe asked before the fault"),
        ({"probes": {"options": []}}, "outage_options", "no request was sent"),
        ({"faults": []}, "outage_register", "no fault is recorded"),
        ({"probes": {"options": lines(records()[300:])}}, "outage_options", "the probe began after the fault"),
        ({"probes": {"options": lines(records()[:260])}}, "outage_options", "the probe ended before the fault was healed"),
        ({"probes": {"options": lines(records()[:490])}}, "outage_options", "the probe ended before the fault was healed"),
        ({"probes": {"register": lines(records()[:260])}}, "lost_requests", "register: the probe ended before the fault was healed"),
        ({"holders": None}, "two_holders", "nobody was asked"),
        ({"holders": []}, "holders_at_end", "nobody was asked"),
        ({"holders": [row for row in held() if row[1] == "sip2"]}, "two_holders", "sip1 was not asked"),
        ({"proxies": [], "pingers": [row for row in held() if row[1] == "sip2"]}, "two_pingers", "only sip2 was asked"),
        ({"holders": held(until=FAULT + 4)}, "two_holders", "the hosts were not asked until the fault was healed"),
        ({"holders": [row for row in held() if row[1] == "sip2" or row[0] < FAULT]}, "holders_at_end", "sip1 said nothing at the end"),
        ({"calls": {"up": 0, "ended": 0}}, "calls_ended", "there was no call"),
        ({"calls": {"up": 50}}, "calls_ended", "not counted"),
        ({"kept": {}}, "cdrs_lost", "not counted before and after"),
        ({"kept": {"location": {"before": [], "after": []}}}, "registrations_lost", "there was none that could be lost"),
        ({"changes": None}, "changes", "site.yml was not run again"),
    ):
        assert numbers(**changes)[name] == Measure(None, why), changes


def test_a_very_late_probe_has_no_number() -> None:
    late = records()
    late[100].sent = late[100].scheduled + 1.2
    found = numbers(probes={"options": lines(late)})
    assert found["outage_options"].value is None
    assert found["outage_options"].detail.startswith("the probe could not keep its schedule: 1 of 750 requests left up to 1.20 s late")
    assert found["lost_requests"].value is None
    assert numbers(probes={"options": lines(late)}, max_lag=2.0)["outage_options"].value == pytest.approx(0.42, abs=0.001)


def test_a_probe_that_is_a_little_late_has_a_number_that_is_less_exact() -> None:
    late = records()
    late[100].sent = late[100].scheduled + 0.3
    found = numbers(probes={"options": lines(late)})
    assert found["outage_options"].value == pytest.approx(0.42, abs=0.001)
    assert found["outage_options"].error == pytest.approx(0.3, abs=0.001)
    assert found["lost_requests"].value == 0
    assert numbers()["outage_options"].error == 0


def test_losses_are_counted_and_named() -> None:
    lost = records()
    for record in lost[400:403]:
        record.answered, record.code, record.error = None, None, "no answer"
    lost[10].code = 503
    found = numbers(
        probes={"options": lines(lost)},
        calls={"up": 50, "ended": 2, "silent": 1, "attempts": 9, "failed": 3},
        kept={"location": {"before": ["a", "b", "c"], "after": ["b"]}, "cdrs": {"before": [str(n) for n in range(9)], "after": []}},
    )
    assert (found["lost_requests"].value, found["lost_requests"].detail) == (3, "options: 3 of 750")
    assert (found["trouble_before"].value, found["trouble_before"].detail) == (1, "of 245 requests")
    assert [found[name].value for name in ("calls_ended", "calls_silent", "calls_failed")] == [2, 1, 3]
    assert (found["registrations_lost"].value, found["registrations_lost"].detail) == (2, "of 3: a, c")
    assert (found["cdrs_lost"].value, found["cdrs_lost"].detail) == (9, "of 9: 0, 1, 2, 3, 4 …")


def test_spans_know_nothing_about_silence() -> None:
    seen = [
        Sample(at, host, "v", holds)
        for at, host, holds in ((0, "a", True), (0.5, "a", True), (3, "a", True), (3.5, "a", False), (1, "b", True))
    ]
    assert states.spans(seen, "v") == [Span(0, 0.5, "a"), Span(1, 1, "b"), Span(3, 3, "a")]
    assert states.spans(seen, "w") == []
    assert states.spans(seen, "v", max_gap=5)[0] == Span(0, 3, "a")


def test_overlaps_and_nobody() -> None:
    held_by = [Span(0, 4, "a"), Span(2, 6, "b"), Span(3, 5, "c"), Span(8, 9, "a"), Span(6, 7, "a, b")]
    assert states.overlaps(held_by) == [Span(2, 3, "a, b"), Span(3, 4, "a, b, c"), Span(4, 5, "b, c")]
    assert states.nobody(held_by, -1, 10) == [Span(-1, 0, ""), Span(7, 8, ""), Span(9, 10, "")]
    assert states.nobody([], 1, 2) == [Span(1, 2, "")]
    assert states.outside(states.overlaps(held_by), [(2.5, 3.5), (4.5, 20)]) == pytest.approx(1.5)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9), st.sampled_from("abc")), max_size=8))
def test_overlap_is_what_counting_says(rows: list[tuple[int, int, str]]) -> None:
    held_by = [Span(start, start + length, who) for start, length, who in rows]
    counted = sum(len({s.who for s in held_by if s.start <= tick and s.end >= tick + 1}) > 1 for tick in range(40))
    assert sum(span.seconds for span in states.overlaps(held_by)) == counted
    seen = sum(not any(s.start <= tick and s.end >= tick + 1 for s in held_by) for tick in range(40))
    assert sum(span.seconds for span in states.nobody(held_by, 0, 40)) == seen


def test_clocks_that_are_off_are_put_right() -> None:
    ahead = [[row[0] + (3600 if row[1] == "sip2" else 0), *row[1:]] for row in held()]
    assert numbers(holders=ahead)["holders_at_end"].value is None
    assert numbers(holders=ahead, offsets={"sip2": 3600})["two_holders"].value == 0


def test_who_answered_over_time() -> None:
    found = runs(records())
    assert [span.who for span in found] == ["sip1", "sip2"]
    assert (found[0].start, found[-1].end) == (START + 0.005, pytest.approx(END - 0.015))
    assert found[0].end < FAULT + 0.01 < FAULT + 0.4 <= found[1].start


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"colour": 1}, "there is no 'colour'; there are audio_gap, calls, changes"),
        ({"probes": {"options5": []}}, "there is no observer 'options5'; there are options, register, write"),
        ({"probes": {"options": ["x", "y"]}}, "line 1 is no record of the probe"),
        ({"probes": []}, "probes is list"),
        ({"holders": [[1, 2]]}, "it must be [time, host, name, true or false]"),
        ({"holders": [["now", "sip1", "main", True]]}, "it must be [time, host, name, true or false]"),
        ({"holders": [[10**400, "sip1", "main", True]]}, "it must be [time, host, name, true or false]"),
        ({"holders": [[float("nan"), "sip1", "main", True]]}, "it must be [time, host, name, true or false]"),
        ({"holders": [[1.0, "sip1", "main", "no"]]}, "a sample of sip1 says 'no'"),
        ({"offsets": {"sip1": "x"}}, "unsupported operand"),
        ({"faults": [{"name": "x"}]}, "is no fault, it needs name, host, start"),
        ({"faults": ["x"]}, "is no fault"),
        ({"faults": [{"name": "x", "host": 1, "start": 1}]}, "name and host of a fault are texts"),
        ({"faults": [{"name": "x", "host": "h", "start": float("inf")}]}, "the times of fault x are no numbers"),
        ({"faults": [{"name": "x", "host": "h", "start": "soon"}]}, "the times of fault x are no numbers"),
        ({"calls": {"up": "many"}}, "calls.up is no whole number"),
        ({"kept": {"cdrs": {"before": []}}}, "kept.cdrs needs the lists before and after"),
        ({"changes": True}, "changes is bool"),
        ({"max_lag": "x"}, "max_lag is str"),
    ],
)
def test_what_is_no_observation_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ObservationError) as error:
        read(observations(**changes))
    assert says in str(error.value)


def test_an_outage_is_what_is_longer_no_prompt_answer_or_no_answer_at_all() -> None:
    frozen, slow = records(gap=None), records(gap=None)
    for record in frozen[300:320]:
        record.answered = frozen[320].answered  # all at once, when it wakes up; none of them late
    for record in slow[300:350]:
        record.answered = record.scheduled + 0.6
    found = numbers(probes={"options": lines(frozen), "register": lines(slow)})
    assert found["outage_options"].value == pytest.approx(0.42, abs=0.001)
    assert found["outage_register"].value == pytest.approx(1.02, abs=0.001)


def test_a_vip_that_nobody_has_at_the_end_is_counted() -> None:
    gone = [[at, host, name, holds and at < FAULT] for at, host, name, holds in held()]
    assert numbers(holders=gone)["holders_at_end"] == Measure(1, "main: nobody")
