"""What the inventory alone can't tell, the media roles' own validation does: one clear error. It runs here, and changes nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def validate(tmp_path: Path, role: str, variables: dict[str, object], limit: str = "20000") -> tuple[int, str]:
    """Run one role's validation on this machine, as if a process of it may open so many files."""
    awk = tmp_path / "awk"
    awk.write_text(f"#!/bin/sh\necho {limit}\n")
    awk.chmod(0o755)
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {"sipha_topology": {"hosts": {"localhost": {}}}, **variables},
        "tasks": [{"ansible.builtin.import_role": {"name": f"sipha.cluster.{role}", "tasks_from": "validate.yml"}}],
    }
    path = tmp_path / "play.yml"
    path.write_text(yaml.safe_dump([play]))
    done = subprocess.run(
        ["ansible-playbook", "-i", "localhost,", str(path)],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "COLUMNS": "10000", "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, " ".join((done.stdout + done.stderr).replace("''", "'").split())


PORTS = "media_relay_port_range on localhost is '{}'. Set it to start:end, both even, start below end"
RTPENGINE = "rtpengine_port_min ({}) and rtpengine_port_max ({}) on localhost must be even, from 1024 to 65534, the first below the second"
BAD: dict[str, tuple[str, dict[str, object], str]] = {
    "odd start": ("media_relay", {"media_relay_port_range": "40001:49998"}, PORTS.format("40001:49998")),
    "odd end": ("media_relay", {"media_relay_port_range": "40000:49999"}, PORTS.format("40000:49999")),
    "end below start": ("media_relay", {"media_relay_port_range": "49998:40000"}, PORTS.format("49998:40000")),
    "end too high": ("media_relay", {"media_relay_port_range": "60000:65538"}, PORTS.format("60000:65538")),
    "privileged ports": ("media_relay", {"media_relay_port_range": "1022:2022"}, PORTS.format("1022:2022")),
    "no range": ("media_relay", {"media_relay_port_range": "40000"}, PORTS.format("40000")),
    "more ports than files": (
        "media_relay",
        {"media_relay_port_range": "40000:59002"},
        "media_relay_port_range 40000:59002 on localhost needs 20002 open files, the host allows 20000: the relay would not start. "
        "Set a range of at most 19000 ports.",
    ),
    "RTPEngine, odd": ("rtpengine", {"rtpengine_port_min": 30001}, RTPENGINE.format(30001, 39998)),
    "RTPEngine, end below start": ("rtpengine", {"rtpengine_port_max": 29998}, RTPENGINE.format(30000, 29998)),
    "RTPEngine, more ports than files": (
        "rtpengine",
        {"rtpengine_port_max": 49002},
        "rtpengine_port_min to rtpengine_port_max on localhost need 20002 open files, the host allows 20000. "
        "Set a range of at most 19000 ports.",
    ),
    "a relay waited for too long": (
        "media_dispatcher",
        {"media_dispatcher_relay_timeout": 11},
        "media_dispatcher_relay_timeout is 11 s, set it to 1 to 10",
    ),
    "one port for two things": (
        "mediaproxy",
        {"mediaproxy_control_port": 25061},
        "mediaproxy_control_port (25061) and mediaproxy_management_port (25061) on localhost must be two different ports",
    ),
}
GOOD: dict[str, tuple[str, dict[str, object], str]] = {
    "defaults": ("media_relay", {}, "20000"),
    "as many ports as files": ("media_relay", {"media_relay_port_range": "40000:59000"}, "20000"),
    "more ports, no limit": ("media_relay", {"media_relay_port_range": "1024:65536"}, "unlimited"),
    "RTPEngine's defaults": ("rtpengine", {}, "20000"),
    "RTPEngine, as many ports as files": ("rtpengine", {"rtpengine_port_max": 49000}, "20000"),
    "dispatcher's defaults": ("media_dispatcher", {}, "20000"),
    "Mediaproxy's defaults": ("mediaproxy", {}, "20000"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_setting_is_named(tmp_path: Path, name: str) -> None:
    role, variables, message = BAD[name]
    code, output = validate(tmp_path, role, variables)
    assert code != 0
    assert message in output


@pytest.mark.parametrize("name", GOOD)
def test_a_good_one_is_not(tmp_path: Path, name: str) -> None:
    role, variables, limit = GOOD[name]
    code, output = validate(tmp_path, role, variables, limit)
    assert code == 0, output
