"""What observers wrote becomes observations that the report reads."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.drill import gather, observations
from ansible_collections.sipha.cluster.plugins.module_utils.drill.gather import GatherError

VIP = {"local": "198.18.10.10", "prefixlen": 24}
OWN = {"local": "198.18.10.11", "prefixlen": 24}
CALL = json.dumps(
    {"kind": "call", "role": "caller", "held": False, "id": "a", "answered": None, "ended": 2.0, "heard": None, "gap": 0, "result": "503"}
)


def look(host: str = "sip1", at: float = 1000.0, **more: Any) -> dict[str, Any]:
    return {"at": at, "host": host, **more}


def link(name: str, *addresses: dict[str, Any]) -> dict[str, Any]:
    return {"ifname": name, "addr_info": list(addresses)}


def test_looks_are_lines_of_which_the_last_may_be_cut_off() -> None:
    line = json.dumps(look())
    assert gather.looks([line, "", line[:9]]) == [look()]
    with pytest.raises(GatherError, match="looks: line 1 is no JSON"):
        gather.looks([line[:9], line])
    with pytest.raises(GatherError, match="sip1: line 1 needs the time at and the name"):
        gather.looks(['{"at": "now", "host": "sip1"}', line], "sip1")


def test_the_holder_is_who_has_the_vip_at_its_public_interface() -> None:
    of = [
        look("sip1", ip=[link("lo", VIP), link("eth0", OWN, VIP)]),
        look("sip2", ip=[link("lo", VIP), link("eth5", OWN)]),
        look("sip2", 1001.0, ip=None),
        look("sip2", 1002.0),
    ]
    interfaces, vips = {"sip1": "eth0", "sip2": "eth5"}, {"main": "198.18.10.10/24", "west": "198.18.10.9"}
    assert gather.holders(of, interfaces, vips) == [
        [1000.0, "sip1", "main", True],
        [1000.0, "sip1", "west", False],
        [1000.0, "sip2", "main", False],
        [1000.0, "sip2", "west", False],
    ]
    with pytest.raises(GatherError, match="interfaces has no sip2"):
        gather.holders(of, {"sip1": "eth0"}, vips)


def test_who_pings_and_which_relay_is_up_and_nothing_where_nobody_answered() -> None:
    of = [
        look("sip1", tags=[{"Tag": "main", "Cluster": 1, "State": "active"}, {"Tag": "west", "State": "backup"}]),
        look("sip2", tags=None),
        look("relay1", relay=True),
        look("relay2", relay=False),
    ]
    assert gather.pingers(of) == [[1000.0, "sip1", "main", True], [1000.0, "sip1", "west", False]]
    assert gather.relays(of) == [[1000.0, "relay1", "relay", True], [1000.0, "relay2", "relay", False]]
    with pytest.raises(GatherError, match="a sharing tag of sip1 is"):
        gather.pingers([look(tags=[{"Name": "main"}])])


def test_times_of_a_fault_become_those_of_the_probe() -> None:
    results = {
        "sip1": {"kind": "unit_frozen", "started": 1005.0, "healed": 1015.0, "confirmed": True},
        "db1": {"kind": "link_down", "started": 1005.5, "healed": None, "confirmed": False},
    }
    found = gather.faults(results, {"sip1": 2.0})
    assert found == [
        {"name": "link down", "host": "db1", "start": 1005.5, "end": None, "confirmed": False},
        {"name": "unit frozen", "host": "sip1", "start": 1003.0, "end": 1013.0, "confirmed": True},
    ]
    with pytest.raises(GatherError, match="sip1 has not injected its fault: no such unit"):
        gather.faults({"sip1": {"failed": True, "msg": "no such unit"}})


def test_the_report_reads_all_of_it() -> None:
    of = [look("sip1", ip=[link("eth0", VIP)], tags=[{"Tag": "main", "State": "Active"}], relay=True)]
    seen = observations.read(
        {
            "faults": gather.faults({"sip1": {"kind": "dns_gone", "started": 1.0, "healed": 2.0, "confirmed": True}}),
            "holders": gather.holders(of, {"sip1": "eth0"}, {"main": "198.18.10.10"}),
            "pingers": gather.pingers(of),
            "relays": gather.relays(of),
            "calls": {key: gather.calls([CALL])[key] for key in ("attempts", "failed")},
        }
    )
    sampled = [one for part in (seen.holders, seen.pingers, seen.relays) for one in part or ()]
    assert [(one.host, one.name, one.holds) for one in sampled] == [
        ("sip1", "main", True),
        ("sip1", "main", True),
        ("sip1", "relay", True),
    ]
    assert (seen.faults[0].end, seen.calls["failed"]) == (2.0, 1)
