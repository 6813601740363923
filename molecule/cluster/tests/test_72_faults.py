"""Faults of module fault on real hosts: they are there, clients' hosts see them, and they heal by themselves."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from cluster_lab import PROJECT, Lab, until

NAME = "test_faults"


def fault(lab: Lab, host: str, *flags: str, **options: Any) -> tuple[bool, dict[str, Any]]:
    """(it did not fail, what the module returned), run as an administrator would."""
    inventory = os.environ.get("SIPHA_INVENTORY", str(PROJECT / "inventories/lab/hosts.yml"))
    done = subprocess.run(
        ["ansible", "--inventory", inventory, host, *flags, "-m", "sipha.cluster.fault", "-a", json.dumps({"name": NAME, **options})],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
        env={
            **os.environ,
            "PATH": f"{PROJECT}/.venv/bin:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_FORCE_COLOR": "false",
            "ANSIBLE_NOCOLOR": "true",
        },
    )
    start = done.stdout.find("{", done.stdout.find("=>"))
    assert start > 0, done.stdout + done.stderr
    return done.returncode == 0, json.loads(done.stdout[start:])


@pytest.fixture
def relay(lab: Lab, healed: None) -> Iterator[str]:
    """A host without a VIP. Whatever a test leaves is healed."""
    name = lab.relays[-1]
    yield name
    good, seen = fault(lab, name, state="healed")
    assert good, seen


def unit(lab: Lab) -> str:
    return {"mediaproxy": "mediaproxy-relay"}.get(lab.media_relay(), "rtpengine-daemon")


def healed_by_timer(lab: Lab, host: str) -> float:
    """Wait for the switch; when it healed."""
    text = until(lambda: lab.host(host).run(f"cat /run/sipha-faults/{NAME}.healed")[1], lambda seen: '"by"' in seen, 20, "healing")
    healed = json.loads(text)
    assert healed["by"] == "timer"
    at: float = healed["at"]
    return at


def states(lab: Lab, host: str, name: str) -> set[str]:
    """Of the processes of a unit."""
    main = lab.host(host).check(f"systemctl show --property=MainPID --value {name}").strip()
    return {line.strip()[0] for line in lab.host(host).check(f"ps -o stat= -p {main}").splitlines()}


def test_a_frozen_unit_thaws_by_itself(lab: Lab, relay: str) -> None:
    name = unit(lab)
    good, seen = fault(lab, relay, kind="unit_frozen", units=[name], seconds=6)
    assert good, seen
    assert (seen["changed"], seen["confirmed"], seen["armed"]) == (True, True, f"sipha-heal-{NAME}.timer")
    assert states(lab, relay, name) == {"T"}
    assert 5 < healed_by_timer(lab, relay) - seen["started"] < 9
    assert states(lab, relay, name) <= {"S", "R", "D"}
    good, seen = fault(lab, relay, state="healed")
    assert (good, seen["changed"], seen["whole"], seen["healed_by"]) == (True, False, True, "timer")


def test_a_link_comes_back_with_all_its_routes(lab: Lab, relay: str) -> None:
    host, address = lab.host(relay), lab.address(relay, "public")

    def look() -> list[list[str]]:
        return [sorted(host.check(command).splitlines()) for command in ("ip route show table all", "ip -o address show")]

    before = look()
    good, seen = fault(lab, relay, kind="link_down", addresses=[address], seconds=30)
    assert good, seen
    assert seen["confirmed"]
    assert lab.host("probe").run(f"ping -c 1 -W 1 {address}")[0] != 0
    good, seen = fault(lab, relay, state="healed")
    assert (good, seen["changed"], seen["whole"], seen["healed_by"]) == (True, True, True, "module")
    until(look, lambda seen: seen == before, 5, "the routes and addresses of before (the kernel's own IPv6 ones take a moment)")
    until(lambda: lab.host("probe").run(f"ping -c 1 -W 1 {address}")[0], lambda code: code == 0, 10, f"an answer of {relay}")


def test_a_partition_is_silent_and_one_peer_s_alone(lab: Lab, relay: str) -> None:
    peer, other = (lab.address(name, "core") for name in lab.proxies[:2])
    good, seen = fault(lab, relay, kind="partition", peers=[peer], seconds=30)
    assert good, seen
    assert seen["confirmed"]
    assert lab.host(relay).run(f"ping -c 1 -W 1 {peer}")[0] == 1
    assert lab.host(relay).run(f"ping -c 1 -W 1 {other}")[0] == 0
    send = f"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('{peer}', 9))"
    lab.host(relay).check(f'python3 -c "{send}"')
    assert fault(lab, relay, state="healed")[0]
    assert f"sipha_fault_{NAME}" not in lab.host(relay).check("nft list tables")
    assert lab.host(relay).run(f"ping -c 1 -W 1 {peer}")[0] == 0


def test_the_same_again_changes_nothing_and_another_is_refused(lab: Lab, relay: str) -> None:
    options = {"kind": "partition", "protocols": ["vrrp"], "seconds": 60}
    good, first = fault(lab, relay, **options)
    assert good, first
    good, second = fault(lab, relay, **options)
    assert (good, second["changed"], second["deadline"]) == (True, False, first["deadline"])
    good, seen = fault(lab, relay, kind="dns_gone", seconds=60)
    assert (good, seen["msg"]) == (False, f"there is a fault {NAME} already that is not healed (partition): heal it first")


def test_what_would_break_the_machine_below_is_refused(lab: Lab, relay: str) -> None:
    good, seen = fault(lab, relay, "--check", kind="clock_stepped", step=3600, seconds=10)
    assert not good
    assert "this is a container (docker)" in seen["msg"]
    good, seen = fault(lab, relay, "--check", kind="disk_full", directory="/var/lib", allow_root=True, leave=100, seconds=10)
    assert not good
    assert "is on an overlay" in seen["msg"]
