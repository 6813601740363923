"""How faults of units and links are injected, healed and seen: the commands, against a host that is not there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.drill.fault import FaultError, load
from ansible_collections.sipha.cluster.plugins.module_utils.drill.fault_host import Process
from ansible_collections.sipha.cluster.plugins.module_utils.drill.fault_plan import Plan, Verdict
from ansible_collections.sipha.cluster.plugins.module_utils.drill.fault_run import KINDS
from fault_base import CORE, LO, PUBLIC, ROUTES_4, Fake
from test_fault_settings import given


def plan(kind: str, host: Fake, **more: Any) -> Plan:
    made = KINDS[kind].plan(load(given(kind, **more)), host)
    assert json.loads(json.dumps(made.facts)) == made.facts  # the state file brings them back as they were
    return made


def commands(made: Plan) -> list[str]:
    return [" ".join(command) for command in made.inject]


def refused(kind: str, host: Fake, **more: Any) -> str:
    with pytest.raises(FaultError) as caught:
        plan(kind, host, **more)
    return str(caught.value)


def there(kind: str, made: Plan, host: Fake) -> Verdict:
    return KINDS[kind].there(made.facts, host)


def whole(kind: str, made: Plan, host: Fake) -> Verdict:
    return KINDS[kind].whole(made.facts, host)


# Units
def test_killed_is_seen_when_the_old_processes_are_gone_whoever_came_after_them() -> None:
    host = Fake()
    made = plan("process_killed", host)
    assert commands(made) == ["systemctl kill --signal=KILL opensips.service"]
    assert made.heal == ("try start opensips.service",)
    assert there("process_killed", made, host) == Verdict(False, "process 7 of opensips.service still runs")
    host.units["opensips.service"] = {"7": Process("S", "900")}  # the same number, another process
    assert there("process_killed", made, host).good
    assert whole("process_killed", made, host).good
    host.units.clear()
    assert there("process_killed", made, host).good
    assert whole("process_killed", made, host) == Verdict(False, "opensips.service is not active")


def test_killed_and_kept_down_by_a_drop_in_that_healing_takes_away() -> None:
    host = Fake()
    made = plan("process_killed", host, keep_down=True)
    file = "/run/systemd/system/opensips.service.d/90-sipha-fault-drill.conf"
    assert made.files == {file: "[Service]\nRestart=no\n"}
    assert commands(made) == ["systemctl daemon-reload", "systemctl kill --signal=KILL opensips.service"]
    assert made.heal == (f"try rm -f {file}", "try systemctl daemon-reload", "try start opensips.service")
    host.units["opensips.service"] = {"9": Process("S", "900")}
    assert there("process_killed", made, host) == Verdict(False, "opensips.service has processes again")


def test_frozen_is_seen_when_all_processes_are_stopped() -> None:
    host = Fake()
    made = plan("unit_frozen", host)
    assert set(commands(made)) == {"systemctl kill --signal=STOP opensips.service"}
    assert made.heal == ("may systemctl kill --signal=CONT opensips.service", "try start opensips.service")
    host.units["opensips.service"] = {"7": Process("T", "70"), "8": Process("R", "80")}
    assert there("unit_frozen", made, host) == Verdict(False, "process 8 of opensips.service is not stopped")
    assert whole("unit_frozen", made, host) == Verdict(False, "process 7 of opensips.service is stopped")
    host.units["opensips.service"]["8"] = Process("T", "80")
    assert there("unit_frozen", made, host) == Verdict(True, "2 processes of opensips.service are stopped (state T)")
    assert refused("process_killed", host) == "process 7 of opensips.service is stopped already"
    host.units["opensips.service"] = {}
    assert not there("unit_frozen", made, host).good


def test_stopped_is_healed_with_those_that_were_stopped_along() -> None:
    host = Fake(dependants="agent.service idle.service some.target")
    host.units["agent.service"] = {}
    made = plan("unit_stopped", host)
    assert commands(made) == ["systemctl stop opensips.service"]
    assert made.heal == ("try start opensips.service", "try start agent.service")
    assert not there("unit_stopped", made, host).good
    del host.units["agent.service"]
    assert whole("unit_stopped", made, host) == Verdict(False, "agent.service is not active")
    del host.units["opensips.service"]
    assert there("unit_stopped", made, host).good


def test_a_unit_that_is_not_there_or_does_not_run_is_refused() -> None:
    assert refused("unit_frozen", Fake(), units=["opensip"]) == "units has opensip.service, which this host does not have (not-found)"
    assert refused("unit_frozen", Fake(), units=["idle"]) == "idle.service is inactive, there is nothing to break; start it first"
    assert refused("unit_frozen", Fake(units={"opensips.service": {}})) == "opensips.service has no process, there is nothing to break"


# Links
def test_a_link_comes_back_with_its_routes_and_without_what_others_manage() -> None:
    host = Fake()
    made = plan("link_down", host, skip_addresses=["198.18.10.10", "2001:db8::10"])
    assert commands(made) == ["ip link set dev eth0 down"]
    assert made.heal == (
        "try ip link set dev eth0 up",
        "try ip address replace 198.18.10.11/24 dev eth0 broadcast 198.18.10.255",
        "try ip address replace 2001:db8::11/64 dev eth0 nodad",
        "try ip -4 route replace 10.0.0.0/8 table 77 scope link dev eth0 onlink",
        "try ip -4 route replace default via 198.18.10.1 dev eth0",
        "try ip -4 route replace 10.7.0.0/16 nexthop via 198.18.10.2 dev eth0 weight 1",
        "try ip -6 route replace default metric 1024 via fe80::99 dev eth0",
    )
    both = plan("link_down", host, addresses=["198.18.10.11", "2001:db8::11", "198.18.20.11"])
    assert commands(both) == ["ip link set dev eth0 down", "ip link set dev eth1 down"]
    assert "try ip -4 route replace 10.9.0.0/16 metric 50 mtu 1400 via 198.18.20.1 dev eth1" in both.heal
    assert "try ip address replace 2001:db8::10/128 dev eth0 nodad preferred_lft 0" in both.heal


def test_a_link_is_whole_when_address_and_routes_are_as_before() -> None:
    host = Fake()
    made = plan("link_down", host)
    assert there("link_down", made, host) == Verdict(False, "eth0 is up")
    assert whole("link_down", made, host).good
    host.routes_4 = ROUTES_4[1:]
    assert whole("link_down", made, host) == Verdict(False, "a route is missing: -4 default via 198.18.10.1 dev eth0")
    host.links = [LO, {**PUBLIC, "addr_info": []}, CORE]
    assert whole("link_down", made, host) == Verdict(False, "address 198.18.10.11/24 is missing")
    host.links = [LO, {**PUBLIC, "flags": ["BROADCAST"]}, CORE]
    assert there("link_down", made, host) == Verdict(True, "eth0 down")
    assert whole("link_down", made, host) == Verdict(False, "eth0 is down")
    assert refused("link_down", host) == "eth0 is down already"


def test_only_a_link_of_this_host_that_is_its_own_goes_down() -> None:
    assert "addresses has 198.18.10.99, which no interface of this host carries; there are 127.0.0.1, 198.18.10.11" in refused(
        "link_down", Fake(), addresses=["198.18.10.99"]
    )
    assert "which no interface of this host carries" in refused("link_down", Fake(), addresses=["127.0.0.1"])
    assert refused("link_down", Fake(links=[{**PUBLIC, "master": "bond0"}])) == "eth0 is a part of bond0: give an address of that one"


def test_flapping_is_done_by_the_host_and_ended_before_the_link_is_healed() -> None:
    host = Fake()
    made = plan("link_flapping", host, times=4, period=4.0)
    assert commands(made) == [
        "systemd-run --quiet --collect --unit=sipha-fault-drill.service -- /bin/sh /run/sipha-faults/drill.flap.sh",
    ]
    (text,) = made.files.values()
    assert 'while [ "$i" -lt 4 ]' in text
    assert text.count("sleep 0.500\n") == 2
    assert text.index("ip link set dev eth0 down") < text.index("ip link set dev eth0 up") < text.index("default via 198.18.10.1")
    assert made.heal[:2] == ("may systemctl stop sipha-fault-drill.service", "try ip link set dev eth0 up")
    assert there("link_flapping", made, host) == Verdict(False, "sipha-fault-drill.service does not run")
    host.units["sipha-fault-drill.service"] = {}
    assert whole("link_flapping", made, host) == Verdict(False, "sipha-fault-drill.service still runs")
    host.links = [LO, {**PUBLIC, "flags": []}, CORE]
    assert there("link_flapping", made, host).good
