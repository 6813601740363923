"""Looks and writes of a drill, which break what on which host, and what is read back from a drill's directory."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.drill import collect, look, write
from ansible_collections.sipha.cluster.plugins.module_utils.drill.budget import DRILLS, BudgetError
from ansible_collections.sipha.cluster.plugins.module_utils.drill.gather import GatherError
from ansible_collections.sipha.cluster.plugins.module_utils.drill.record import Record, to_line
from ansible_collections.sipha.cluster.plugins.module_utils.drill.scenes import SCENES, Now, SceneError, scene

MODEL: dict[str, Any] = {
    "proxies": ["sip1", "sip2"],
    "databases": ["db1", "db2", "db3"],
    "relays": ["relay1"],
    "media_relay": "mediaproxy",
    "vips": [{"name": "main", "address": "198.18.10.10/24"}, {"name": "six", "address": "2001:db8::10/64"}],
    "hosts": {
        name: {"public_address": f"198.18.10.{number}", "core_address": f"198.18.20.{number}"}
        for number, name in enumerate(("sip1", "sip2", "db1", "db2", "db3", "relay1"), 11)
    },
}
POWER = ("off", "on", "pause", "resume")
NOW = Now("sip2", "db3", "relay1", POWER)


def test_every_drill_has_a_scene_with_something_to_break() -> None:
    assert list(SCENES) == list(DRILLS)
    for name in DRILLS:
        made = scene(name, MODEL, NOW)
        assert made.steps
        for number, step in enumerate(made.steps):
            assert step.how in ("fault", "power", "playbook")
            if step.how == "fault":
                assert step.host in MODEL["hosts"]
                assert (step.settings["name"], step.settings["seconds"]) == (f"drill_{number}", DRILLS[name].seconds)


def test_who_is_broken() -> None:
    def hosts(name: str, now: Now = NOW) -> list[str]:
        return [step.host for step in scene(name, MODEL, now).steps]

    assert hosts("proxy_killed") == ["sip2"]
    assert hosts("vrrp_lost") == ["sip1", "sip2"]
    assert hosts("two_databases_lost") == ["db3", "db1"]
    assert hosts("all_databases_lost") == ["db3", "db1", "db2"]
    assert scene("all_databases_lost", MODEL, NOW).afterwards == "recover.yml"
    assert hosts("proxy_and_database") == ["sip2", "db3"]
    assert hosts("core_degraded") == ["sip1", "sip1", "sip2", "sip2"]
    assert hosts("core_degraded", Now("sip2", "db3", core_delay=0)) == ["sip1", "sip2"]
    (link,) = scene("both_links_down", MODEL, NOW).steps
    assert link.settings["addresses"] == ["198.18.10.12", "198.18.20.12"]
    assert link.settings["skip_addresses"] == ["2001:db8::10"]


def test_what_can_not_be_done_here_says_why() -> None:
    for name, model, now, message in (
        ("host_killed", MODEL, Now("sip1", "db1"), "drill_power has no command off"),
        ("host_paused", MODEL, Now("sip1", "db1", power=("off", "on")), "drill_power has no command pause"),
        ("relay_killed", {**MODEL, "media_relay": "none"}, NOW, "no media relay carries calls"),
        ("dispatcher_killed", {**MODEL, "media_relay": "rtpengine"}, NOW, "sipha_media_relay is not mediaproxy"),
        ("two_databases_lost", {**MODEL, "databases": ["db1", "db3"]}, NOW, "has 2 databases"),
    ):
        with pytest.raises(SceneError, match=message):
            scene(name, model, now)
    with pytest.raises(BudgetError, match="did you mean host_killed"):
        scene("host_kiled", MODEL, NOW)


class Cursor:
    def __init__(self, base: Base) -> None:
        self.base = base

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, statement: str, values: tuple[int]) -> None:
        if self.base.down:
            raise OSError("gone away")
        assert statement == "INSERT IGNORE INTO writes (number) VALUES (%s)"
        self.base.rows.add(values[0])


class Base:
    """A database that can be down."""

    def __init__(self) -> None:
        self.rows: set[int] = set()
        self.down = False

    def connect(self, **_: Any) -> Base:
        if self.down:
            raise OSError("connection refused")
        return self

    def cursor(self) -> Cursor:
        return Cursor(self)

    def close(self) -> None:
        raise OSError("broken anyway")


def test_a_row_is_tried_until_it_is_there_and_the_schedule_does_not_wait() -> None:
    base, found = Base(), []
    settings = write.Settings.load({"user": "u", "password": "p", "database": "d", "rate": 50, "seconds": 1.0, "patience": 5})
    writer = write.Writer(settings, found.append, base.connect)
    threading.Timer(0.3, lambda: setattr(base, "down", True)).start()
    threading.Timer(0.7, lambda: setattr(base, "down", False)).start()
    writer.run()
    records: list[Record] = sorted(found, key=lambda record: record.number)
    assert [record.number for record in records] == list(range(50))
    assert {record.code for record in records} == {200}
    assert base.rows == set(range(50))
    again = [record for record in records if record.transmissions > 1]
    assert len(again) >= 5
    # Those that were due while it was down were begun then, and not when it was back.
    assert max(record.lag or 0 for record in again) < 0.35


def test_rows_that_never_come_and_wrong_settings() -> None:
    base, found = Base(), []
    base.down = True
    settings = write.Settings.load({"user": "u", "password": "p", "database": "d", "rate": 20, "seconds": 0.1, "patience": 0.3})
    write.Writer(settings, found.append, base.connect).run()
    assert [(one.code, one.error) for one in found] == [(None, "OSError: connection refused")] * 2
    for wrong, message in (({"table": "a; DROP"}, "a table's name"), ({"rate": 0}, "a rate"), ({"colour": 1}, "no setting 'colour'")):
        with pytest.raises(ValueError, match=message):
            write.Settings.load({"user": "u", "password": "p", "database": "d", **wrong})


def test_a_look_says_what_the_host_has(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[dict[str, Any]] = []
    monkeypatch.setattr(look, "interface_of", lambda address: "eth0")
    monkeypatch.setattr(look, "addresses", lambda interface: [{"ifname": interface}])
    monkeypatch.setattr(look, "up", lambda unit: unit == "relay")
    settings = look.Look.load({"host": "sip1", "seconds": 0.35, "address": "198.18.10.11", "mi_socket": "/nowhere", "unit": "relay"})
    look.run(settings, lambda text: rows.append(json.loads(text)), lambda: False)
    assert [(row["host"], row["interface"], row["ip"], row["relay"]) for row in rows] == [
        ("sip1", "eth0", [{"ifname": "eth0"}], True)
    ] * len(rows)
    assert 1 <= len(rows) <= 4
    assert [row["tags"] for row in rows if "tags" in row] == [None] * len(rows[::3])
    with pytest.raises(ValueError, match="an interval of"):
        look.Look.load({"host": "sip1", "interval": 0})


def test_a_host_that_was_paused_goes_on_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(command: tuple[str, ...], **_: object) -> object:
        raise subprocess.TimeoutExpired(command, 2)

    monkeypatch.setattr(look.subprocess, "run", late)
    assert (look.addresses("eth0"), look.up("mediaproxy-relay")) == (None, None)


def test_a_unit_that_does_not_run_is_not_up() -> None:
    assert not look.up("there-is-no-such-unit.service")


def fill(directory: Path) -> None:
    at = time.time()
    record = Record(7, "WRITE", at, sent=at, answered=at + 0.01, code=200)
    (directory / "write.jsonl").write_text(to_line(record) + "\n")
    sip1 = {"at": at, "host": "sip1", "interface": "eth0", "ip": [{"ifname": "eth0", "addr_info": [{"local": "198.18.10.10"}]}]}
    later = {"at": at + 9, "host": "sip1", "relay": True}
    (directory / "look-sip1.jsonl").write_text(f"{json.dumps(sip1)}\n{json.dumps(later)}\n")
    (directory / "location-before.txt").write_text("a x\nb y\n")
    (directory / "location-after.txt").write_text("a x\n")
    (directory / "rows.txt").write_text("7\n")
    (directory / "fault-sip1-power.json").write_text(
        json.dumps({"name": "host off", "host": "sip1", "start": at, "end": at + 5, "confirmed": True, "more": 1})
    )
    (directory / "fault-db-1-0.json").write_text(json.dumps({"kind": "unit_frozen", "started": at, "healed": at + 2, "confirmed": True}))


def test_a_directory_becomes_observations(tmp_path: Path) -> None:
    fill(tmp_path)
    seen = collect.collect(tmp_path, {"main": "198.18.10.10/24"}, ["sip1", "sip2"], time.time() + 1)
    assert [(one["name"], one["host"]) for one in seen["faults"]] == [("unit frozen", "db-1"), ("host off", "sip1")]
    assert [row[1:] for row in seen["holders"]] == [["sip1", "main", True]]
    assert seen["relays"] == []  # it was after the end
    assert seen["kept"]["rows"] == {"before": ["7"], "after": ["7"]}
    assert seen["kept"]["location"] == {"before": ["a x", "b y"], "after": ["a x"]}
    assert sorted(seen["probes"]) == ["write"]
    (tmp_path / "fault-sip1-power.json").write_text('{"start": 1}')
    with pytest.raises(GatherError, match=r"fault-sip1-power\.json is no fault"):
        collect.collect(tmp_path, {}, [], 0)
