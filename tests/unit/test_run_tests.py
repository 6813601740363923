"""The test command counts what failed first and passed at its second try: two may, and none is silent."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools/run_tests.py"


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_tests", TOOL)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "run_tests", module)  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("tries", "failed"), [(0, 0), (2, 0), (3, 1)])
def test_unstable_tests_are_named_and_bounded(command: ModuleType, capsys: pytest.CaptureFixture[str], tries: int, failed: int) -> None:
    totals = command.Totals()
    totals.unstable("cluster", [f"test_{number}: why" for number in range(tries)])
    assert (totals.passed, totals.failed, totals.skipped) == (0, failed, 0)
    assert [line for line in totals.lines if line.startswith("UNSTABLE")] == [
        f"UNSTABLE cluster: failed at its first try: test_{number}: why" for number in range(tries)
    ]
    assert capsys.readouterr().out.count("UNSTABLE") == tries
