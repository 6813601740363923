"""A changed script comes into service under load and loses nothing; a broken one goes again, and calls never notice."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from cluster_lab import Lab, until
from load import load
from sipp_runner import Phone, trunk_call
from test_60_site import start_playbook
from test_75_ringing import engines, run_playbook

HOOK = {"opensips_hooks": {"call": "MINE"}}
ROUTES = {"opensips_extra_routes": 'route[MINE] {\n\txlog("L_NOTICE", "a call of $fu\\n");\n}\n', **HOOK}
PARAMETER = {"opensips_max_forwards": 15, "opensips_default_expires": 599}


@pytest.fixture(autouse=True)
def _whole_again(healed: None) -> None:
    """Each test here may move the VIP."""


@pytest.fixture(scope="module", autouse=True)
def _own_script(lab: Lab) -> Iterator[None]:
    """Whatever a test brought into service, the inventory's script is there at the end."""
    yield
    code, output = run_playbook("upgrade_script")
    assert code == 0, output[-3000:]


def words(output: str) -> str:
    return " ".join(output.split())


def upgrade(variables: dict[str, Any], *more: str) -> tuple[int, str]:
    code, output = run_playbook("upgrade_script", "--extra-vars", json.dumps(variables), *more)
    return code, words(output)


def releases(lab: Lab) -> dict[str, str]:
    return {name: lab.host(name).check("readlink /etc/opensips/current").strip() for name in lab.proxies}


def half_done(lab: Lab) -> list[str]:
    """What an upgrade leaves behind when it does not end."""
    paths = "/etc/opensips/releases/upgrade.json /etc/sipha/maintenance"
    found = [f"{name}: {path}" for name in lab.proxies for path in lab.host(name).run(f"ls -d {paths} 2>/dev/null")[1].split()]
    return [*found, *(row["username"] for row in lab.sql("SELECT username FROM subscriber WHERE username='sipha-selftest'"))]


def call_works(lab: Lab, bob: Phone) -> None:
    assert bob.register().final("REGISTER") == 200
    with bob.waits("answer") as at_bob:
        result = trunk_call(lab, "probe", "bob")
        at_bob.wait_for("BYE")
    assert (result.code, result.errors) == (0, "")


def test_routes_are_reloaded_under_load_and_nothing_moves(lab: Lab, bob: Phone) -> None:
    holder, began, before = lab.settled(), engines(lab), releases(lab)
    with load(lab, bob, 60) as under:
        code, output = upgrade(ROUTES)
        still = under.still_on()
    assert code == 0, output[-3000:]
    way = "routes only: reload possible route[MINE] is new route[NEW_REQUEST] changed way: routes are reloaded in place"
    assert output.count(way) == len(lab.proxies), output[output.find("(standby): ") :][:2000]
    assert still, "the upgrade took longer than the load"
    assert under.result == under.expected
    assert (lab.holders(), engines(lab)) == ([holder], began)
    assert {name for name, release in releases(lab).items() if release == before[name]} == set()
    assert half_done(lab) == []
    call_works(lab, bob)
    assert "a call of sip:" in lab.host(holder).check("journalctl --unit=opensips --since=-20s --no-pager")


def test_a_changed_parameter_restarts_all_under_load(lab: Lab, bob: Phone) -> None:
    holder, began = lab.settled(), engines(lab)
    with load(lab, bob, 75) as under:
        code, output = upgrade(PARAMETER)
        still = under.still_on()
    assert code == 0, output[-3000:]
    assert "restart needed registrar/default_expires was 600, is now 599" in output
    assert still, "the upgrade took longer than the load"
    assert under.result == under.expected
    assert {name for name, number in engines(lab).items() if number == began[name]} == set()
    assert lab.holders() != [holder]
    assert half_done(lab) == []


def _name(lab: Lab, seen: dict[str, str]) -> str:
    """What an operator calls it."""
    (first, *_) = lab.proxies
    return str(json.loads(lab.host(first).check(f"cat /etc/opensips/{seen[first]}/release.json"))["origin"]).partition(",")[0]


def test_a_second_upgrade_does_nothing_and_rollback_goes_back(lab: Lab) -> None:
    upgrade(PARAMETER)
    first, began = releases(lab), engines(lab)
    code, output = upgrade(PARAMETER)
    assert (code, releases(lab), engines(lab)) == (0, first, began)
    assert output.count("nothing to do, release") == len(lab.proxies)
    assert output.count("changed=0") == output.count("changed=")
    code, output = upgrade(ROUTES)
    assert code == 0, output[-3000:]
    assert releases(lab) != first
    code, output = run_playbook("rollback_script", "-e", "reason=a test")
    assert (code, releases(lab)) == (0, first), output[-3000:]
    code, output = run_playbook("rollback_script", "-e", "release=00000000")
    assert code != 0
    assert f"{lab.proxies[0]} has no script '00000000' to go back to. There are: " in words(output)
    assert f"{_name(lab, first)} (in service)" in words(output)
    assert releases(lab) == first


def test_rollback_goes_to_any_release_by_name(lab: Lab, long: None) -> None:
    upgrade(PARAMETER)
    first = releases(lab)
    upgrade({})
    assert releases(lab) != first
    code, output = run_playbook("rollback_script", "-e", f"release={_name(lab, first)}")
    assert (code, releases(lab)) == (0, first), output[-3000:]


BROKEN = {
    "syntax": (
        {"opensips_extra_routes": "route[MINE] {\n\tif (1 {\n}\n", **HOOK},
        "would not work, and what runs there stays as it is. SCRIPT",
    ),
    "unknown parameter": (
        {"opensips_extra_modules": 'modparam("tm", "no_such", 1)'},
        "would not work, and what runs there stays as it is. SCRIPT",
    ),
    "route loop": (
        {"opensips_extra_routes": "route[MINE] {\n\troute(MINE);\n}\n", **HOOK},
        "would not work, and what runs there stays as it is. SCRIPT027",
    ),
    "missing column": (
        {"opensips_extra_modules": 'modparam("acc", "extra_fields", "db: nowhere")'},
        "carries calls and does not account them: 0 rows in table acc",
    ),
    # Any address can be bound (ip_nonlocal_bind), so neither the parser nor the start of the engine says anything.
    "socket at another port": (
        {"opensips_port": 5070, "proxy_agent_sip_port": 5070},
        "would not work, and what runs there stays as it is. SCRIPT061",
    ),
    "socket at an address of nobody": (
        {"opensips_extra_modules": "socket=udp:198.18.10.77:5060"},
        "would not work, and what runs there stays as it is. SCRIPT061",
    ),
    "socket at a VIP that is not there": (
        {"sipha_vips": [{"name": "main", "address": "198.18.10.77/24", "router_id": 51, "preferred": ["sip1", "sip2"]}]},
        "would not work, and what runs there stays as it is. SCRIPT061",
    ),
    "port taken": ({"opensips_extra_modules": "socket=udp:127.0.0.1:7999"}, "on 127.0.0.1: Address already in use"),
    "database password": (
        {"sipha_secret_db_engine": "not-the-password-of-it"},
        "does not serve after its start: it does not start. It says:",
    ),
    "answers 500": (
        {"opensips_extra_routes": 'route[MINE] {\n\tsend_reply(500, "No");\n\texit;\n}\n', "opensips_hooks": {"request": "MINE"}},
        "does not do what phones need: REGISTER without credentials is answered 500 No, not 401.",
    ),
}
LIKE_OTHERS = ("unknown parameter", "socket at an address of nobody", "socket at a VIP that is not there")


@pytest.mark.parametrize("what", [what for what in BROKEN if what not in LIKE_OTHERS])
def test_a_broken_script_goes_again(lab: Lab, bob: Phone, what: str) -> None:
    goes_again(lab, bob, what)


@pytest.mark.parametrize("what", LIKE_OTHERS)
def test_so_does_one_that_is_broken_in_the_same_way(lab: Lab, bob: Phone, what: str, long: None) -> None:
    goes_again(lab, bob, what)


def goes_again(lab: Lab, bob: Phone, what: str) -> None:
    variables, says = BROKEN[what]
    holder, standby, before = lab.settled(), lab.standby(), releases(lab)
    began = engines(lab)[holder]
    taken = lab.host(standby).interactive("python3", "-c", "import socket\ns=socket.socket(2,2)\ns.bind(('127.0.0.1',7999))\ninput()")
    try:
        code, output = upgrade(variables)
    finally:
        taken.kill()
        lab.host(standby).run("pkill -f 7999")
    assert code != 0
    assert says in output, output[-3000:]
    assert releases(lab) == before
    assert (lab.holders(), engines(lab)[holder]) == ([holder], began)
    assert half_done(lab) == []
    assert lab.host(standby).run("/usr/sbin/sipha-health") == (0, "sip: ok\nmi: ok\ndb: ok\ntag: ok\nmedia: ok\n")
    call_works(lab, bob)


def test_wrong_sockets_are_refused_under_load_and_a_second_run_has_nothing_to_do(lab: Lab, bob: Phone, long: None) -> None:
    upgrade({})
    holder, began, before = lab.settled(), engines(lab), releases(lab)
    with load(lab, bob, 60) as under:
        code, output = upgrade({"opensips_port": 5070, "proxy_agent_sip_port": 5070})
        again, second = upgrade({})
        still = under.still_on()
    assert code != 0
    assert f"there is no socket udp:{lab.vip}:5060, its port is 5070." in output, output[-3000:]
    assert again == 0, second[-3000:]
    assert second.count("nothing to do, release") == len(lab.proxies)
    assert still, "the upgrades took longer than the load"
    assert under.result == under.expected
    assert (releases(lab), lab.holders(), engines(lab), half_done(lab)) == (before, [holder], began, [])


def test_a_canary_under_load_carries_calls_and_the_rest_follows(lab: Lab, bob: Phone, long: None) -> None:
    holder, standby, began = lab.settled(), lab.standby(), engines(lab)
    with load(lab, bob, 100) as under:
        code, output = upgrade({"opensips_default_expires": 596, "opensips_canary_seconds": 15})
        still = under.still_on()
    assert code == 0, output[-3000:]
    assert "Canary | Watch the proxies with the new script" in output
    assert still, "the upgrade took longer than the load"
    assert under.result == under.expected
    assert {name for name, number in engines(lab).items() if number == began[name]} == set()
    assert (lab.holders(), holder, half_done(lab)) == ([standby], holder, [])


def test_a_canary_that_sees_failures_goes_back_under_load(lab: Lab, bob: Phone, long: None) -> None:
    """One callee in the new script is answered 500, which no self-test sees."""
    routes = 'route[MINE] {\n\tif ($rU == "unlucky") {\n\t\tsend_reply(500, "No");\n\t\texit;\n\t}\n}\n'
    wanted = {"opensips_extra_routes": routes, **HOOK, **PARAMETER, "opensips_canary_seconds": 20, "opensips_canary_failures": 0}
    upgrade({})
    holder, standby, before, began = lab.settled(), lab.standby(), releases(lab), engines(lab)
    over = threading.Event()

    def unlucky() -> None:
        while not over.is_set():
            trunk_call(lab, "probe", "unlucky")

    other = threading.Thread(target=unlucky)
    with load(lab, bob, 110) as under:
        other.start()
        try:
            code, output = upgrade(wanted)
        finally:
            over.set()
            other.join(30)
        still = under.still_on()
    assert code != 0
    assert f"The new script failed while it carried calls on {standby}: " in output, output[-3000:]
    assert "The VIPs are back where they were, and so is the script before." in output
    assert still, "the upgrade took longer than the load"
    assert under.result == under.expected
    assert (releases(lab), lab.holders(), half_done(lab)) == (before, [holder], [])
    assert engines(lab)[holder] == began[holder]


def test_the_controller_is_killed_between_two_proxies(lab: Lab, bob: Phone) -> None:
    holder, standby, before = lab.settled(), lab.standby(), releases(lab)
    wanted = {"opensips_max_forwards": 14, "opensips_default_expires": 598}
    run = start_playbook("playbooks/upgrade_script.yml", "--extra-vars", json.dumps(wanted))
    try:
        until(lambda: releases(lab)[standby] != before[standby], None, 60, "the new script on the standby")
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait(10)
    assert (lab.holders(), releases(lab)[holder]) == ([holder], before[holder])
    call_works(lab, bob)
    code, output = upgrade(wanted)
    assert code == 0, output[-3000:]
    assert "an upgrade was cut off here before" in output
    assert half_done(lab) == []
    assert [name for name, release in releases(lab).items() if release == before[name]] == []
    call_works(lab, bob)


def test_the_standby_dies_in_the_middle(lab: Lab, bob: Phone) -> None:
    holder, standby, before = lab.settled(), lab.standby(), releases(lab)
    wanted = {"opensips_max_forwards": 13, "opensips_default_expires": 597}
    run = start_playbook("playbooks/upgrade_script.yml", "--extra-vars", json.dumps(wanted))
    until(lambda: releases(lab)[standby] != before[standby], None, 60, "the new script on the standby")
    lab.host(standby).kill()
    output = words(run.communicate(timeout=240)[0])
    assert run.returncode != 0, output[-2000:]
    assert (lab.holders(), lab.host(holder).check("readlink /etc/opensips/current").strip()) == ([holder], before[holder])
    call_works(lab, bob)
    lab.host(standby).start()
    lab.settled(90)
    code, output = upgrade(wanted)
    assert code == 0, output[-3000:]
    assert half_done(lab) == []
    assert [name for name, release in releases(lab).items() if release == before[name]] == []


def test_a_proxy_that_a_killed_run_left_out_of_service_takes_part_again(lab: Lab) -> None:
    """Nothing is to be restarted there, and nothing is noted: as after a restart of the media dispatcher that was cut off at its end."""
    upgrade({})
    holder, standby, began = lab.settled(), lab.standby(), engines(lab)
    lab.host(standby).check("echo 'drained by sipha.cluster' > /etc/sipha/maintenance")
    assert half_done(lab) == [f"{standby}: /etc/sipha/maintenance"]
    code, output = upgrade({})
    assert code == 0, output[-3000:]
    assert f"{standby} was out of service since a run that was cut off, and takes part again." in output
    assert (half_done(lab), lab.holders(), engines(lab)) == ([], [holder], began)


def test_pinned_numbers_of_proxies_change_nothing_where_they_are_what_runs(lab: Lab) -> None:
    lab.settled()
    upgrade({})
    began = engines(lab)
    numbers = json.dumps({name: number for number, name in enumerate(sorted(lab.proxies), 1)})
    code, output = upgrade({"opensips_node_id": "{{ (" + numbers + ")[inventory_hostname] | default(99) }}"})
    assert code == 0, output[-3000:]
    assert output.count("nothing to do, release") == len(lab.proxies)
    code, output = upgrade({"opensips_node_id": 1})
    assert code != 0
    assert "INV020 opensips_node_id on sip2: 1 is the number of sip1 too. Give each proxy its own number." in output
    assert engines(lab) == began
