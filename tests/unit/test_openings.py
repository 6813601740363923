"""What hosts open, and to whom: the firewall's rules come from here."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sipha.cluster.plugins.filter.topology import FilterModule
from ansible_collections.sipha.cluster.plugins.module_utils.topology.openings import openings
from topology_inventories import base, model, overlaid

PROXIES = ("198.18.20.11", "198.18.20.12")
RELAYS = ("198.18.20.31", "198.18.20.32")
DATABASES = ("198.18.20.21", "198.18.20.22", "198.18.20.23")
CORE = "198.18.20.0/24"


def opened(host: str, **variables: Any) -> dict[tuple[int, ...], tuple[tuple[str, ...], tuple[str, ...], str]]:
    topology = model(overlaid({"all": variables}))
    return {o.ports: (o.protocols, o.sources, o.address) for o in openings(topology, topology.hosts[host])}


def test_a_proxy() -> None:
    assert opened("sip1") == {
        (5566,): (("tcp",), PROXIES, ""),
        (10306,): (("tcp",), PROXIES, ""),
        (8888,): (("tcp",), (CORE,), ""),
        (5060,): (("tcp", "udp"), (CORE,), "198.18.20.11"),
        (25060,): (("tcp",), RELAYS, ""),
        (25061,): (("tcp",), PROXIES + RELAYS, ""),
    }


def test_a_database() -> None:
    assert opened("db2") == {
        (4444, 4567, 4568): (("tcp", "udp"), DATABASES, ""),
        (3306, 3307, 9200): (("tcp",), PROXIES + DATABASES, ""),
    }


@pytest.mark.parametrize(("media", "wanted"), [("mediaproxy", {}), ("none", {}), ("rtpengine", {(2223,): (("tcp", "udp"), PROXIES, "")})])
def test_a_relay(media: str, wanted: dict[Any, Any]) -> None:
    assert opened("relay1", sipha_media_relay=media) == wanted


def test_ports_follow_the_variables() -> None:
    assert set(opened("db1", galera_tls_port=3399, galera_health_port=9999)) == {(4444, 4567, 4568), (3306, 3399, 9999)}
    assert opened("sip2", firewall_monitoring_networks=["198.18.99.0/24"])[(8888,)][1] == (CORE, "198.18.99.0/24")
    assert (5070,) in opened("sip1", opensips_port=5070)


def test_an_arbitrator_is_one_of_the_members_and_opens_no_sql() -> None:
    inventory = overlaid({"groups": {"databases": ["db1", "db2"], "arbitrators": ["db3"]}})
    topology = model(inventory)
    assert [o.ports for o in openings(topology, topology.hosts["db3"])] == [(4444, 4567, 4568)]
    assert openings(topology, topology.hosts["db1"])[0].sources == DATABASES


def test_the_published_model_has_them() -> None:
    inventory = base()
    hostvars = {host: {**inventory["all"], **variables} for host, variables in inventory["hosts"].items()}
    published = FilterModule().filters()["topology"](hostvars, inventory["groups"])["hosts"]
    assert [opening["ports"] for opening in published["db1"]["openings"]] == [(4444, 4567, 4568), (3306, 3307, 9200)]
    assert published["sip1"]["vrrp_peers"] == ["198.18.10.12"]
    assert published["sip1"]["sockets"][0] == "udp:198.18.10.10:5060"
    assert published["db1"]["sockets"] == published["db1"]["vrrp_peers"] == []
