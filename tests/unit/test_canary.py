"""The canary: a proxy with a new script is watched while it carries calls."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.node import canary, health, mi
from ansible_collections.sipha.cluster.plugins.module_utils.node.agent import Settings

SETTINGS = Settings("127.0.0.1", 1, "lo", {}, "", [], "/nowhere/socket")


def statistics(broken: int = 0, refused: int = 0, through: int = 0) -> dict[str, int]:
    """As the engine gives them, all of its groups sl and tm; refusals by its own hand."""
    kinds = [f"{digit}xx" for digit in range(1, 7)]
    answers = {f"sl:{kind}_replies": 0 for kind in kinds} | {f"tm:{kind}_transactions": 0 for kind in kinds[1:]}
    others = {"sl:sent_replies": 999, "sl:received_ACKs": 999, "tm:UAS_transactions": 999, "tm:inuse_transactions": 999}
    # health probes are answered 200 by sl
    return {
        **answers,
        **others,
        "sl:2xx_replies": 10_000,
        "sl:5xx_replies": broken,
        "sl:4xx_replies": refused,
        "tm:2xx_transactions": through,
    }


def test_each_final_answer_counts_once() -> None:
    assert canary.counts({}) == (0, 0)
    assert canary.counts(statistics()) == (0, 0)
    for name in statistics():
        module, _, kind = name.partition(":")
        counted = (module, kind[:4]) != ("sl", "2xx_") and kind[1:3] == "xx" and kind[0] != "1"
        assert canary.counts({name: 3}) == ((3 if counted else 0), (3 if kind.startswith("5xx_") else 0)), name
    assert canary.counts({**statistics(1, 2, 4), "tm:5xx_transactions": 8}) == (15, 9)
    assert canary.counts({"tm:5xx_transactions": "8"}) == (8, 8)  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("now", "percent", "said"),
    [
        ((100, 10), 5.0, ""),
        ((119, 29), 5.0, ""),
        ((120, 11), 5.0, ""),
        ((120, 12), 5.0, "2 of 20 requests were answered 5xx, more than 5 %"),
        ((1100, 12), 0.0, "2 of 1000 requests were answered 5xx, more than 0 %"),
        ((200, 110), 100.0, ""),
        ((300, 12), 0.5, "2 of 200 requests were answered 5xx, more than 0.5 %"),
        ((20, 0), 5.0, "the engine was restarted meanwhile"),
        ((120, 3), 5.0, "the engine was restarted meanwhile"),
    ],
)
def test_a_share_is_judged_when_there_is_enough_of_it(now: tuple[int, int], percent: float, said: str) -> None:
    assert canary.judge((100, 10), now, percent) == said


Watch = Callable[[list[object]], str]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """watch() for 5 s on a clock of its own; each look at the engine takes the next of the answers, then the last one again."""
    clock = [0.0]
    monkeypatch.setattr(canary.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(canary.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    monkeypatch.setattr(health, "check_sip", lambda _: "")
    monkeypatch.setattr(health, "check_db", lambda _: "")

    def run(answers: list[object]) -> str:
        def call(path: str, command: str, params: object, *_: object) -> object:
            assert (path, command, params) == ("/nowhere/socket", "get_statistics", {"statistics": ["sl:", "tm:"]})
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(mi, "call", call)
        return canary.watch(SETTINGS, 5.0, 5.0)

    return run


def test_a_good_engine_is_watched_to_the_end(watch: Watch, capsys: pytest.CaptureFixture[str]) -> None:
    assert watch([statistics(), statistics(through=100), statistics(broken=5, through=195)]) == ""
    assert capsys.readouterr().out == "ok (200 requests answered in 5 s)\n"


def test_a_quiet_engine_passes(watch: Watch, capsys: pytest.CaptureFixture[str]) -> None:
    assert watch([statistics(broken=7)]) == ""
    assert capsys.readouterr().out == "ok (0 requests answered in 5 s)\n"


def test_a_bad_engine_is_known_before_the_end(watch: Watch, capsys: pytest.CaptureFixture[str]) -> None:
    said = "6 of 20 requests were answered 5xx, more than 5 %"
    assert watch([statistics(), statistics(through=14), statistics(broken=6, through=14)]) == said
    assert capsys.readouterr().out == f"{said} (20 requests answered in 1 s)\n"


def test_an_engine_that_answers_nothing_but_5xx_exceeds_any_share_below_all() -> None:
    assert canary.judge((0, 0), canary.counts(statistics(broken=50)), 99.0) == "50 of 50 requests were answered 5xx, more than 99 %"


def test_an_engine_that_restarts_or_dies(watch: Watch, capsys: pytest.CaptureFixture[str]) -> None:
    assert watch([statistics(through=50), statistics(through=3)]) == "the engine was restarted meanwhile"
    capsys.readouterr()
    assert watch([statistics(), mi.MiError("get_statistics: no answer")]) == "get_statistics: no answer"
    assert capsys.readouterr().out == "the engine does not answer any more: get_statistics: no answer\n"


@pytest.mark.parametrize("check", ["check_sip", "check_db"])
def test_an_engine_that_can_not_serve(watch: Watch, monkeypatch: pytest.MonkeyPatch, check: str) -> None:
    said = ["", "", "no"]
    monkeypatch.setattr(health, check, lambda _: said.pop(0))
    assert watch([statistics()]) == "no"
    assert not said


@pytest.mark.parametrize(("wrong", "code"), [("", 0), ("no", 1)])
def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str, code: int) -> None:
    config = tmp_path / "agent.json"
    config.write_text(json.dumps(vars(SETTINGS)))
    monkeypatch.setattr(sys, "argv", f"sipha-canary --config {config} --seconds 30 --failures 2.5".split())
    monkeypatch.setattr(canary, "watch", lambda *of: wrong if of == (SETTINGS, 30.0, 2.5) else "what?")
    with pytest.raises(SystemExit) as stopped:
        canary.main()
    assert stopped.value.code == code
