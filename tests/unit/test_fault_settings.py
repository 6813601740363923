"""What a fault must be told, and what is refused."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import yaml
from ansible_collections.sipha.cluster.plugins.module_utils.drill import fault
from ansible_collections.sipha.cluster.plugins.module_utils.drill.fault import FaultError, load
from ansible_collections.sipha.cluster.plugins.module_utils.drill.fault_run import KINDS

NEEDED: dict[str, dict[str, Any]] = {
    "process_killed": {"units": ["opensips"]},
    "unit_frozen": {"units": ["opensips"]},
    "unit_stopped": {"units": ["opensips"]},
    "link_down": {"addresses": ["198.18.10.11"]},
    "link_flapping": {"addresses": ["198.18.10.11"], "period": 10.0},
    "partition": {"peers": ["198.18.10.12"]},
    "packet_loss": {"addresses": ["198.18.10.11"], "loss": 20.0},
    "netem": {"addresses": ["198.18.10.11"], "delay": 0.2},
    "gateway_gone": {},
    "dns_gone": {},
    "disk_full": {"directory": "/var/lib/mysql"},
    "clock_stepped": {"step": 3600.0},
}


def given(kind: str, **more: Any) -> dict[str, Any]:
    return {"name": "drill", "kind": kind, "seconds": 30.0, **NEEDED.get(kind, {}), **more}


def test_every_kind_has_a_plan_and_is_an_option_of_the_module_with_all_its_options() -> None:
    module = importlib.import_module("ansible_collections.sipha.cluster.plugins.modules.fault")
    options = yaml.safe_load(module.DOCUMENTATION)["options"]
    assert set(KINDS) == set(fault.KINDS) == set(options["kind"]["choices"]) == set(NEEDED)
    used = {one for needed, allowed in fault.KINDS.values() for one in (*needed, *allowed)}
    assert used == set(options) - {"state", "name", "kind", "seconds"}


@pytest.mark.parametrize("kind", NEEDED)
def test_each_kind_takes_what_it_needs_and_what_the_module_gives_as_not_set(kind: str) -> None:
    unset = dict.fromkeys({one for needed, allowed in fault.KINDS.values() for one in (*needed, *allowed)})
    assert load({**unset, **given(kind)}).kind == kind


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (given("unit_frozn"), "there is no fault 'unit_frozn', did you mean unit_frozen?"),
        (given("x"), "there is no fault 'x', there are clock_stepped, disk_full"),
        (given("unit_frozen", name="Drill"), "name is 'Drill', set it to 1 to 32"),
        (given("unit_frozen", name="a/../b"), "name is 'a/../b'"),
        (given("unit_frozen", name="drill\n"), "name is 'drill\\n'"),
        (given("unit_frozen", seconds=0.5), "seconds is 0.5, set it to 1 to 3600"),
        (given("unit_frozen", seconds=3601.0), "seconds is 3601, set it to 1 to 3600"),
        (given("unit_frozen", seconds=float("nan")), "seconds is nan"),
        (given("unit_frozen", units=[]), "unit_frozen needs units"),
        (given("unit_frozen", loss=1.0), "unit_frozen has no use for loss; it takes kind, name, seconds, units"),
        (given("unit_frozen", units=["a b"]), "units has 'a b', which is no name of a unit"),
        (given("unit_frozen", units=["--all"]), "units has '--all', which is no name of a unit"),
        (given("unit_frozen", units=["dbus"]), "units has dbus, without which this host could not heal itself"),
        (given("unit_stopped", units=["systemd-logind.service"]), "units has systemd-logind.service, without which"),
        (given("link_down", addresses=["eth0"]), "addresses has 'eth0', which is no IPv4 or IPv6 address"),
        (given("link_flapping", seconds=5.0), "seconds is 5, but flapping takes 10 s: set seconds to more than period"),
        (given("link_flapping", times=100), "period is 10 s, set it to 40 to 3600 s"),
        (given("partition", peers=None), "partition needs peers, protocols or ports"),
        (given("partition", peers=["sip2"]), "peers has 'sip2', which is no IPv4 or IPv6 address or network"),
        (given("partition", protocols=["vrpp"]), "protocols has 'vrpp', set it to a number from 0 to 255 or one of"),
        (given("partition", protocols=["256"]), "protocols has '256'"),
        (given("partition", direction="up"), "direction is 'up', set it to both, in or out"),
        (given("partition", ports=[0]), "a port is 0, set it to 1 to 65535"),
        (given("partition", ports=[53], protocols=["vrrp"]), "partition by ports is for tcp, udp and sctp, but protocols has vrrp"),
        (given("packet_loss", loss=101.0), "loss is 101 %, set it to 0 to 100 %"),
        (given("packet_loss", loss=0.01), "loss is 0.01 %, set it to 0.1 to 100 %"),
        (given("netem", delay=0.0), "netem needs loss or delay above 0"),
        (given("netem", jitter=1.0), "jitter is 1 s, more than the delay of 0.2 s"),
        (given("netem", delay=11.0), "delay is 11 s, set it to 0 to 10 s"),
        (given("gateway_gone", gateway="router"), "gateway has 'router'"),
        (given("disk_full", directory="data"), "directory is 'data', set it to an absolute path"),
        (given("disk_full", leave=-1), "leave is -1 MB"),
        (given("clock_stepped", step=100000.0), "step is 100000 s, set it to -86400 to 86400 s"),
        (given("clock_stepped", step=0.5), "step is 0.5 s, set it to at least 1 s ahead"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_set(options: dict[str, Any], message: str) -> None:
    with pytest.raises(FaultError) as caught:
        load(options)
    assert message in str(caught.value)


def test_names_and_addresses_become_those_of_the_host() -> None:
    made = load(given("unit_frozen", units=["opensips", "opensips.service", "keepalived"]))
    assert made.units == ("opensips.service", "keepalived.service")
    made = load(given("partition", peers=["2001:DB8:0::5", "10.1.2.3/24", "10.1.2.3/32"], protocols=["VRRP", "17"]))
    assert (made.peers, made.protocols) == (("2001:db8::5", "10.1.2.0/24", "10.1.2.3"), ("112", "17"))
