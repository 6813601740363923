"""The switch is armed first, healing is repeatable, and nothing is left broken when something goes wrong."""

from __future__ import annotations

import fcntl
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.drill import fault_plan, fault_run
from ansible_collections.sipha.cluster.plugins.module_utils.drill.fault import FaultError, load
from ansible_collections.sipha.cluster.plugins.module_utils.drill.fault_host import Done, Process
from ansible_collections.sipha.cluster.plugins.module_utils.drill.fault_run import Faults
from fault_base import Fake
from test_fault_settings import given

TIMER = "sipha-heal-drill.timer"


@dataclass
class Running(Fake):
    """A host on which the faults of units do what they should."""

    directory: Path = Path()
    heal_codes: tuple[int, ...] = ()  # of the next runs of the healer; then 0

    def _do(self, command: Sequence[str], stdin: str) -> Done:
        done = super()._do(command, stdin)
        text = " ".join(command)
        if done.code:
            return done
        if text.startswith("systemd-run") and "--on-active" in text:
            self.units[text.partition("--unit=")[2].split()[0] + ".timer"] = {}
        elif text.startswith("systemctl stop sipha-heal"):
            self.units.pop(command[2], None)
        elif text.startswith("systemctl kill --signal=STOP"):
            self.set_all("T")
        elif text.startswith("/bin/sh"):
            code, self.heal_codes = (self.heal_codes or (0,))[0], self.heal_codes[1:]
            if not code:
                self.switch("module")
            return Done(code, "", "no start" if code else "")
        return done

    def set_all(self, state: str) -> None:
        self.units["opensips.service"] = {"7": Process(state, "70")}

    def switch(self, by: str = "timer") -> None:
        """What the healer does."""
        self.set_all("S")
        (self.directory / "drill.healed").write_text(json.dumps({"at": 1010.5, "by": by}))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    for name in ("CONFIRM", "HEAL", "STEP"):
        monkeypatch.setattr(fault_run, name, 0.01)
    return Running(directory=tmp_path / "faults")


@pytest.fixture
def faults(host: Running) -> Faults:
    return Faults(host, str(host.directory), now=lambda: 1000.0, sleep=lambda seconds: None)


def settings(**more: Any) -> Any:
    return load(given("unit_frozen", **more))


def test_the_switch_is_armed_and_seen_before_anything_is_broken(faults: Faults, host: Running) -> None:
    changed, state = faults.inject(settings())
    arm = next(text for text in host.told if text.startswith("systemd-run"))
    assert "--on-active=30s" in arm
    assert "--unit=sipha-heal-drill " in arm
    assert "--property=Restart=on-failure" in arm
    assert arm.endswith(f"/bin/sh {host.directory}/drill.sh timer")
    kill = host.told.index("systemctl kill --signal=STOP opensips.service")
    assert host.told.index(arm) < host.told.index(f"systemctl is-active --quiet {TIMER}", host.told.index(arm)) < kill
    assert "systemctl kill --signal=CONT opensips.service" in (host.directory / "drill.sh").read_text()
    assert changed
    assert {key: state[key] for key in ("confirmed", "started", "deadline", "armed", "healed")} == {
        "confirmed": True,
        "started": 1000.0,
        "deadline": 1030.0,
        "armed": TIMER,
        "healed": None,
    }
    assert faults.state("drill") == state


def test_without_a_switch_nothing_is_broken(faults: Faults, host: Running) -> None:
    host.fails["systemd-run"] = Done(1, "", "no bus")
    with pytest.raises(FaultError, match=r"^the switch could not be armed, so nothing was broken: systemd-run .*no bus$"):
        faults.inject(settings())
    assert not [text for text in host.told if "--signal=STOP" in text]
    assert faults.state("drill") is None
    del host.fails["systemd-run"]
    host.fails[f"systemctl is-active --quiet {TIMER}"] = Done(3)
    with pytest.raises(FaultError, match="nothing was broken: the timer does not run"):
        faults.inject(settings())
    assert not [text for text in host.told if "--signal=STOP" in text]


def test_the_same_again_does_nothing_and_another_one_of_the_name_is_refused(faults: Faults, host: Running) -> None:
    _, first = faults.inject(settings())
    count = len([text for text in host.told if text.startswith(("systemd-run", "systemctl kill"))])
    assert faults.inject(settings()) == (False, first)
    with pytest.raises(FaultError, match=r"there is a fault drill already that is not healed \(unit_frozen\): heal it first"):
        faults.inject(settings(seconds=31.0))
    assert len([text for text in host.told if text.startswith(("systemd-run", "systemctl kill"))]) == count


def test_healed_once_and_then_left_alone(faults: Faults, host: Running) -> None:
    faults.inject(settings())
    changed, state = faults.heal("drill")
    assert (changed, state["healed"], state["healed_by"], state["armed"], state["whole"]) == (True, 1010.5, "module", "", True)
    assert TIMER not in host.units
    runs = [text for text in host.told if text.startswith("/bin/sh")]
    assert faults.heal("drill")[0] is False
    assert [text for text in host.told if text.startswith("/bin/sh")] == runs
    assert faults.heal("never_there") == (False, {"name": "never_there"})
    with pytest.raises(FaultError, match=r"name is '\.\./x'"):
        faults.heal("../x")


def test_healed_by_its_switch_and_injected_again(faults: Faults, host: Running) -> None:
    faults.inject(settings())
    host.switch()
    changed, state = faults.heal("drill")
    assert (changed, state["healed"], state["healed_by"], state["whole"]) == (False, 1010.5, "timer", True)
    changed, state = faults.inject(settings(seconds=40.0))
    assert (changed, state["confirmed"], state["healed"]) == (True, True, None)
    assert faults.state("drill")["healed"] is None  # type: ignore[index]
    host.switch()
    host.set_all("T")  # somebody froze it meanwhile
    assert faults.heal("drill")[1]["whole"] is False


def test_healing_that_fails_leaves_the_switch_armed(faults: Faults, host: Running) -> None:
    faults.inject(settings())
    host.heal_codes = (1,) * 10000
    with pytest.raises(FaultError, match=r"^fault drill is not healed: no start; its switch tries again$"):
        faults.heal("drill")
    assert TIMER in host.units
    host.heal_codes = (1,)
    assert faults.heal("drill")[0]
    assert TIMER not in host.units


def test_what_the_healer_does_not_bring_back_is_said(faults: Faults, host: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    faults.inject(settings())
    monkeypatch.setattr(host, "set_all", lambda state: None)
    with pytest.raises(FaultError, match=r"fault drill was healed, but this is left of it: process 7 of opensips.service is stopped"):
        faults.heal("drill")
    assert TIMER in host.units


def test_an_injection_that_fails_is_healed_at_once(faults: Faults, host: Running) -> None:
    host.fails["systemctl kill --signal=STOP"] = Done(1, "", "no such unit")
    with pytest.raises(FaultError, match=r"^unit_frozen was not injected, and what was done is healed: systemctl kill .*no such unit$"):
        faults.inject(settings())
    assert f"/bin/sh {host.directory}/drill.sh module" in host.told
    assert TIMER not in host.units
    host.heal_codes = (1,) * 10000
    with pytest.raises(FaultError, match=r"not injected: .*no such unit; and fault drill is not healed: no start"):
        faults.inject(settings())
    assert TIMER in host.units


def test_a_switch_that_was_faster_than_the_injection_is_no_fault(faults: Faults, host: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(state: str, host: Running = host) -> None:
        host.units["opensips.service"] = {"7": Process(state, "70")}
        if state == "T":
            (host.directory / "drill.healed").write_text('{"at": 1, "by": "timer"}')

    monkeypatch.setattr(host, "set_all", stop)
    with pytest.raises(FaultError, match=r"what was done is healed: seconds \(30\) is too short, the switch has healed it already"):
        faults.inject(settings())
    assert host.units["opensips.service"]["7"].state == "S"


def test_a_fault_that_is_not_there_is_not_confirmed(faults: Faults, host: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "set_all", lambda state: None)
    changed, state = faults.inject(settings())
    assert (changed, state["confirmed"], state["evidence"]) == (True, False, "process 7 of opensips.service is not stopped")


def test_an_injection_that_was_broken_off_must_be_healed_first(faults: Faults, host: Running) -> None:
    faults.inject(settings())
    path = host.directory / "drill.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "started": None}))
    with pytest.raises(FaultError, match="heal it first"):
        faults.inject(settings())
    path.write_text("{")
    with pytest.raises(FaultError, match=r"drill.json can't be read"):
        faults.heal("drill")


def test_check_mode_looks_and_writes_nothing(faults: Faults, host: Running) -> None:
    changed, state = faults.inject(settings(), check=True)
    assert (changed, state["started"]) == (True, None)
    assert not host.directory.exists()
    assert not [text for text in host.told if text.startswith(("systemd-run", "systemctl kill", "/bin/sh"))]
    with pytest.raises(FaultError, match="which this host does not have"):
        faults.inject(settings(units=["nothing"]), check=True)
    faults.inject(settings())
    assert faults.heal("drill", check=True)[0] is True
    assert TIMER in host.units


def test_two_at_the_same_time_are_refused(faults: Faults, host: Running) -> None:
    faults.inject(settings())
    with (host.directory / "drill.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(FaultError, match="fault drill is just being injected or healed by somebody else"):
            faults.heal("drill")


def test_all_are_listed(faults: Faults, host: Running) -> None:
    assert faults.listed() == []
    faults.inject(settings())
    host.set_all("S")
    faults.inject(settings(name="other"))
    assert [(state["name"], state["armed"]) for state in faults.listed()] == [("drill", TIMER), ("other", "sipha-heal-other.timer")]


# The healer itself, by a real shell
def heals(directory: Path, *lines: str) -> tuple[int, str]:
    path = directory / "drill.sh"
    path.write_text(fault_plan.script("drill", "unit_frozen", lines, str(directory)))
    done = subprocess.run(["/bin/sh", path, "timer"], capture_output=True, text=True, check=False)
    marker = directory / "drill.healed"
    return done.returncode, marker.read_text() if marker.exists() else ""


def test_the_healer_goes_on_after_a_failure_and_says_so(tmp_path: Path) -> None:
    assert heals(tmp_path, "try false", f"try touch {tmp_path}/second") == (1, "")
    assert (tmp_path / "second").exists()


def test_the_healer_writes_when_it_healed_for_the_first_time(tmp_path: Path) -> None:
    code, first = heals(tmp_path, "may false", "try true")
    assert code == 0
    assert json.loads(first)["by"] == "timer"
    assert json.loads(first)["at"] > 1.6e9
    assert heals(tmp_path, "try true") == (0, first)
