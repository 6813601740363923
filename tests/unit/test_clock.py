"""What module_utils/clock.py says about the clocks of a cluster."""

from __future__ import annotations

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.clock import (
    Interval,
    culprits,
    offset_interval,
    pairs,
    report,
)
from hypothesis import given
from hypothesis import strategies as st


def asked(offset: float, rtt: float = 0.02, at: float = 1000.0) -> tuple[float, float, float]:
    """The sample of a host whose clock is `offset` ahead, asked at `at`, answered half-way."""
    return at, at + rtt / 2 + offset, at + rtt


def test_one_sample_bounds_the_offset_by_half_the_round_trip() -> None:
    interval = offset_interval([asked(5.0, rtt=0.2)])
    assert interval.middle == pytest.approx(5.0)
    assert interval.uncertainty == pytest.approx(0.1)


def test_more_samples_narrow_the_interval() -> None:
    # answered at once, and answered at the very end: only one offset fits both
    assert offset_interval([(0.0, 7.0, 1.0), (10.0, 18.0, 11.0)]) == Interval(7.0, 7.0)


def test_a_clock_that_steps_meanwhile_widens_the_interval() -> None:
    interval = offset_interval([asked(0.0), asked(30.0)])
    assert interval.low < 0 < 30 < interval.high


def test_no_sample_and_a_backward_sample_are_errors() -> None:
    with pytest.raises(ValueError, match="no sample"):
        offset_interval([])
    with pytest.raises(ValueError, match="before it starts"):
        offset_interval([(2.0, 2.0, 1.0)])


@given(
    true=st.floats(-1e6, 1e6),
    trips=st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1)), min_size=1, max_size=8),
)
def test_the_true_offset_is_always_inside(true: float, trips: list[tuple[float, float]]) -> None:
    samples = [(100.0, 100.0 + rtt * share + true, 100.0 + rtt) for rtt, share in trips]
    interval = offset_interval(samples)
    assert interval.low - 1e-6 <= true <= interval.high + 1e-6


def test_equal_clocks_are_ok() -> None:
    verdict = report({"sip1": [asked(1.0)], "sip2": [asked(1.1)], "db1": [asked(0.9)]}, 0.5)
    assert verdict["verdict"] == "ok"
    assert verdict["hosts"] == []
    assert verdict["worst"] == {"one": "db1", "other": "sip2", "offset": -0.2, "uncertainty": 0.02}


def test_the_skewed_host_is_named_with_its_offset() -> None:
    verdict = report({"sip1": [asked(0.0)], "sip2": [asked(-42.5)], "db1": [asked(0.1)], "db2": [asked(0.05)]}, 0.5)
    assert verdict["verdict"] == "skewed"
    assert verdict["hosts"] == ["sip2"]
    assert str(verdict["message"]).startswith("The clock is off on: sip2 -42.525 s (against the median")
    assert "db1 is 42.600 s ahead of sip2 (give or take 0.020 s)" in str(verdict["message"])
    assert "time_sync_max_skew allows 0.5 s" in str(verdict["message"])


def test_two_hosts_that_disagree_are_both_named() -> None:
    verdict = report({"sip1": [asked(0.0)], "sip2": [asked(3.0)]}, 0.5)
    assert verdict["hosts"] == ["sip1", "sip2"]
    assert "sip2 is 3.000 s ahead of sip1" in str(verdict["message"])


def test_a_slow_way_is_uncertain_and_not_ok() -> None:
    verdict = report({"sip1": [asked(0.0, rtt=1.0)], "sip2": [asked(0.1, rtt=1.0)]}, 0.5)
    assert verdict["verdict"] == "uncertain"
    assert "can't be compared" in str(verdict["message"])


def test_a_slow_way_does_not_hide_a_large_offset() -> None:
    assert report({"sip1": [asked(0.0, rtt=1.0)], "sip2": [asked(9.0, rtt=1.0)]}, 0.5)["verdict"] == "skewed"


def test_one_host_has_nothing_to_compare() -> None:
    assert report({"sip1": [asked(0.0)]}, 0.5)["verdict"] == "ok"
    assert culprits({"sip1": Interval(0, 0)}, 0.5) == []


def test_a_pair_apart_with_none_far_from_the_median_names_the_pair() -> None:
    intervals = {"a": Interval(-0.4, -0.4), "b": Interval(0, 0), "c": Interval(0.4, 0.4)}
    assert culprits(intervals, 0.5) == ["a", "c"]
    assert next((pair.one, pair.other) for pair in pairs(intervals)) == ("a", "c")
