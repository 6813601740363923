"""A canary whose VIPs do not all leave, and one that fails: the real playbooks on proxies without engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from proxy_world import World, possible

pytestmark = pytest.mark.skipif(not possible(), reason="needs root and mount namespaces with overlayfs")
CANARY: list[dict[str, Any]] = [
    {
        "hosts": "proxies",
        "gather_facts": False,
        "any_errors_fatal": True,
        "tasks": [
            {"ansible.builtin.include_role": {"name": "sipha.cluster.topology"}},
            {"ansible.builtin.group_by": {"key": "sipha_restart_{{ 'standby' if inventory_hostname == 'sip3' else 'canary' }}"}},
            {"ansible.builtin.include_role": {"name": "sipha.cluster.opensips", "tasks_from": "cut_off.yml"}},
            {"ansible.builtin.include_role": {"name": "sipha.cluster.opensips", "tasks_from": "canary.yml"}},
        ],
    }
]


def test_a_canary_that_does_not_begin_leaves_nothing_behind(tmp_path: Path) -> None:
    world = World(tmp_path, {"east": "sip1", "west": "sip2"})
    world.change(stuck=["west"])
    code, output = world.play(CANARY)
    assert code != 0
    assert "The VIPs of sip2 stay where they are after 40 s" in output, output[-3000:]
    assert "sip3 keep the new one" in output
    assert world.left() == []


def test_a_canary_that_fails_gives_the_vips_back_and_leaves_nothing_behind(tmp_path: Path) -> None:
    world = World(tmp_path, {"east": "sip1", "west": "sip2"})
    world.change(canary="1 9 of 20 requests were answered 5xx")
    code, output = world.play("restart_proxies", restart_all=True, opensips_selftest=False, opensips_canary_seconds=1)
    assert code != 0
    assert "The new script failed while it carried calls on sip3: 9 of 20 requests were answered 5xx. The VIPs are back" in output, output[
        -3000:
    ]
    assert world.log == ["sip3 restarts opensips with no VIP"]
    assert "sip3" not in world.look()["holders"].values()
    assert world.left() == []
