"""A script whose sockets are wrong is refused while the one before runs: the real stage.yml, as upgrade_script.yml calls it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from proxy_world import World, possible

pytestmark = pytest.mark.skipif(not possible(), reason="needs root and mount namespaces with overlayfs")
STAGE: list[dict[str, Any]] = [
    {
        "hosts": "proxies",
        "gather_facts": False,
        "tasks": [
            {
                "ansible.builtin.include_role": {"name": "sipha.cluster.opensips", "tasks_from": "stage.yml"},
                "vars": {"opensips_script_alone": True},
            }
        ],
    }
]
PASSED = "can't be run"  # the next step, the engine's own parser, which is not on this machine
REFUSED = "The script of sip1 would not work, and what runs there stays as it is. "


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path, {"main": "sip1"})
    for number, name in enumerate(world.names, 1):
        agent = {"core_address": f"198.18.20.1{number}", "sip_port": 5060, "vips": {"main": "198.18.10.10"}}
        world.file(name, "etc/sipha/agent.json").write_text(json.dumps(agent))
    return world


def test_wrong_sockets_are_refused_and_right_ones_are_not(world: World) -> None:
    code, output = world.play(STAGE)
    assert (code != 0, output.count(PASSED) > 0, "SCRIPT061" in output) == (True, True, False), output[-3000:]
    vip = [{"name": "main", "address": "198.18.10.99/24", "router_id": 51, "preferred": ["sip1", "sip2"]}]
    for variables, says in (
        ({"opensips_port": 5070, "proxy_agent_sip_port": 5070}, "there is no socket udp:198.18.10.10:5060, its port is 5070."),
        (
            {"opensips_extra_modules": "socket=udp:198.18.10.77:5060"},
            "socket udp:198.18.10.77:5060 is at an address that sip1 does not have.",
        ),
        ({"sipha_vips": vip}, "there is no socket udp:198.18.10.10:5060."),
    ):
        code, output = world.play(STAGE, "--limit", "sip1", **variables)
        assert code != 0
        assert PASSED not in output
        assert REFUSED in output
        assert says in output, output[-3000:]
        assert "SCRIPT061" in output
