"""Who restarts, and with what: the real restart_proxies.yml on proxies without engines."""

from __future__ import annotations

from pathlib import Path

import pytest
from proxy_world import World, possible

pytestmark = pytest.mark.skipif(not possible(), reason="needs root and mount namespaces with overlayfs")
RESTART = {"restart_all": True, "opensips_selftest": False}
DRAINED = "drained by sipha.cluster\n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, {"main": "sip1"})


def test_each_restarts_without_a_vip_standbys_first(world: World) -> None:
    code, output = world.play("restart_proxies", **RESTART)
    assert code == 0, output[-3000:]
    assert world.log == [f"{name} restarts opensips with no VIP" for name in ("sip2", "sip3", "sip1")]
    assert world.left() == []


def test_a_standby_that_has_got_the_vip_since_hands_it_over_first(world: World) -> None:
    """The holder dies while another standby restarts."""
    world.change(script={"sip2 systemctl restart opensips.service": {"dead": ["sip1"], "holders": {"main": "sip3"}}})
    code, output = world.play("restart_proxies", **RESTART)
    assert code == 0, output[-3000:]
    assert world.log == [f"{name} restarts opensips with no VIP" for name in ("sip2", "sip3", "sip1")]
    assert world.left() == []


def test_a_standby_that_gets_the_vip_while_it_waits_and_is_the_last_one_keeps_it(world: World) -> None:
    world.change(script={"sip3 health air": {"dead": ["sip1"], "stuck": ["sip2"], "holders": {"main": "sip3"}}})
    code, output = world.play("restart_proxies", **RESTART)
    assert code != 0
    assert "sip3 still holds main after 40 s: no other proxy is healthy and in service." in output, output[-3000:]
    assert world.log == ["sip2 restarts opensips with no VIP"]
    assert world.left() == []


def test_who_was_left_out_of_service_by_a_run_takes_part_again(world: World) -> None:
    """A restart of the dispatcher alone, killed at its end: nothing is to be restarted, and nothing is noted."""
    world.file("sip2", "etc/sipha/maintenance").write_text(DRAINED)
    code, output = world.play("restart_proxies")
    assert code == 0, output[-3000:]
    assert "sip2 was out of service since a run that was cut off, and takes part again." in output
    assert (world.left(), world.log) == ([], [])
    world.file("sip2", "etc/sipha/maintenance").touch()  # by hand
    for path, content in (("maintenance", DRAINED), ("stay_out", "")):  # by maintenance.yml
        world.file("sip3", f"etc/sipha/{path}").write_text(content)
    code, output = world.play("restart_proxies")
    assert code == 0, output[-3000:]
    assert "takes part again" not in output
    assert world.left() == ["sip2: etc/sipha/maintenance", "sip3: etc/sipha/maintenance"]
    assert output.count("changed=0") == 3
