"""What records say: outage, silence, loss, and the probe's own delay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.sipha.cluster.plugins.module_utils.drill.record import Record, from_lines
from ansible_collections.sipha.cluster.plugins.module_utils.drill.summary import percentile, silence, summarise, windows
from ansible_collections.sipha.cluster.plugins.modules import sip_probe
from sip_server import serving


def records(*codes: int | None, latency: float = 0.01, every: float = 0.1, late: float = 0.0) -> list[Record]:
    """One request every 0.1 s from 1000.0 on; None has no answer."""
    made = []
    for number, code in enumerate(codes):
        at = 1000.0 + number * every
        answered = None if code is None else at + late + latency
        made.append(Record(number, "OPTIONS", at, at + late, answered, code, "h:5060" if code else "", "a" if code else "", 1, 1))
    return made


def test_the_outage_is_the_longest_gap_between_good_answers() -> None:
    seen = records(200, None, 200, 200, 503, None, 200)
    found = windows(seen)
    assert [(round(one.seconds, 6), one.missed, one.closed) for one in found] == [(0.2, 1, True), (0.3, 2, True)]
    result = summarise(seen)
    assert (result.outage, result.outage_start) == (pytest.approx(0.3), pytest.approx(1000.3))
    assert (result.sent, result.answered, result.good, result.lost, result.refused) == (7, 5, 4, 2, 1)
    assert result.codes == {"200": 4, "503": 1}
    assert result.answered_by == {"h:5060 a": 5}


def test_the_ends_of_the_run_count() -> None:
    assert [(round(w.seconds, 6), w.closed) for w in windows(records(None, None, 200, 200, None))] == [(0.2, False), (0.1, False)]
    assert [(round(w.seconds, 6), w.missed, w.closed) for w in windows(records(None, None, None))] == [(0.2, 3, False)]
    assert silence(records(None, None, None)) == pytest.approx(0.2)
    assert silence(records(200, None, None, None)) == pytest.approx(0.29)
    assert silence(records(None, None, None, 200)) == pytest.approx(0.31)


def test_a_late_answer_is_good_for_the_caller_but_ends_no_outage() -> None:
    seen = records(200, 200, 200)
    seen[1].answered = 1000.1 + 0.6
    result = summarise(seen)
    assert (result.good, result.prompt, result.lost, result.outage) == (3, 2, 0, pytest.approx(0.2))


def test_records_come_in_any_order_and_may_be_chosen_by_time() -> None:
    seen = records(None, 200, 200, None, 200)
    assert summarise(seen[::-1]) == summarise(seen)
    part = summarise(seen, since=1000.05, until=1000.25)
    assert (part.sent, part.lost, part.start) == (2, 0, pytest.approx(1000.1))


def test_a_late_probe_blames_itself() -> None:
    result = summarise(records(200, 200, late=0.3))
    assert not result.kept_schedule
    assert result.problem == (
        "the probe could not keep its schedule: 2 of 2 requests left up to 0.30 s late (allowed 0.1 s); its host was too busy, "
        "so this says nothing about the cluster"
    )
    assert summarise(records(200, 200, late=0.3), max_lag=0.5).kept_schedule
    assert result.latency["max"] == pytest.approx(0.01)
    empty = summarise([])
    assert (empty.kept_schedule, empty.problem) == (False, "no request was sent")


def test_packets_that_were_sent_again_are_counted_rounds_are_not() -> None:
    seen = records(200, 200, 200)
    seen[0].transmissions = 2
    seen[1].transmissions, seen[1].rounds = 2, 2
    assert summarise(seen).repeated == 1


def test_percentiles_and_long_lists() -> None:
    assert [percentile(range(1, 101), share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([7], 0.5) == 7
    seen = records(*([None] * 30))
    for number, record in enumerate(seen):
        record.error = f"error {number}"
    errors = summarise(seen).errors
    assert (len(errors), errors["others"]) == (21, 10)


def run(arguments: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    basic._ANSIBLE_ARGS = None
    with patch_module_args(arguments), pytest.raises(SystemExit):
        sip_probe.main()
    text = capsys.readouterr().out
    assert "hush" not in text
    return json.loads(text)


def test_the_module_writes_records_and_returns_the_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "records.jsonl"
    account = {"method": "REGISTER", "user": "drill", "domain": "sip.example.org", "password": "hush"}
    with serving(algorithm="SHA-256", password="hush") as server:
        asked = {"target": "127.0.0.1", "port": server.port, "rate": 20, "seconds": 0.5, "path": str(path), **account}
        result = run(asked, capsys)
        assert (result["changed"], result["unregistered"], result["pings"]) == (True, True, {})
        assert (result["summary"]["good"], result["summary"]["lost"], result["summary"]["method"]) == (10, 0, "REGISTER")
        assert len(from_lines(path.read_text().splitlines())[0]) == 10
        packets = len(server.seen)
        assert run({**asked, "_ansible_check_mode": True}, capsys)["changed"] is True
        assert len(server.seen) == packets
        assert "can't write /nowhere/x" in run({**asked, "path": "/nowhere/x"}, capsys)["msg"]
        full = run({**asked, "path": "/dev/full"}, capsys)
        assert full["msg"] == "can't write /dev/full: No space left on device"
        assert full["summary"]["good"] == 10


def test_the_module_names_wrong_options(capsys: pytest.CaptureFixture[str]) -> None:
    for changes, says in (
        ({"target": "name"}, "target is 'name', set it to an IPv4 or IPv6 address"),
        ({"max_lag": 0}, "max_lag is 0, set it to 0.001 to 10"),
        ({"target": "192.0.2.1", "source": "192.0.2.77"}, "can't send from 192.0.2.77"),
    ):
        result = run({"target": "127.0.0.1", **changes}, capsys)
        assert result["failed"]
        assert says in result["msg"]
