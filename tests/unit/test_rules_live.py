"""Rules about what hosts say. `lab_looks.json` is what the hosts of a running lab said: it trips nothing, each case changes one thing."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.topology.live import read
from ansible_collections.sipha.cluster.plugins.module_utils.topology.model import Finding
from ansible_collections.sipha.cluster.plugins.module_utils.topology.rules import LIVE_RULES, RULES, judge_live
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from junk import junk
from topology_inventories import judged, model, overlaid

RECORDED = (Path(__file__).parent / "lab_looks.json").read_text()
VIP = "198.18.10.10"
STRANGER = "02:00:00:00:00:77"
Looks = dict[str, Any]
Change = Callable[[Looks], object]


def looks() -> Looks:
    return json.loads(RECORDED)  # type: ignore[no-any-return]


def verdict(there: Looks, overlay: dict[str, Any] | None = None, missing: dict[str, str] | None = None) -> tuple[list[Finding], str]:
    return judge_live(model(overlaid(overlay or {})), {name: read(look) for name, look in there.items()}, missing or {})


def changed(change: Change, overlay: dict[str, Any] | None = None) -> list[str]:
    there = looks()
    change(there)
    found, unjudged = verdict(there, overlay)
    assert unjudged == ""
    return [str(finding) for finding in found]


def interface(there: Looks, host: str, name: str = "eth0") -> dict[str, Any]:
    return next(link for link in there[host]["interfaces"] if link["name"] == name)


def listen(there: Looks, host: str, port: int, address: str = "0.0.0.0", protocol: str = "udp", process: str = "asterisk") -> None:
    unit = f"{process}.service" if process else ""
    there[host]["listeners"].append({"protocol": protocol, "address": address, "port": port, "process": process, "unit": unit})


def late(there: Looks, seconds: float) -> None:
    there["db2"]["clock"]["first"] += seconds
    there["db2"]["clock"]["last"] += seconds


def stopped(there: Looks, host: str) -> None:
    there[host]["listeners"] = []


def hide(there: Looks) -> None:
    """As in a container without CAP_SYS_PTRACE."""
    for look in there.values():
        look["hidden"] = [{"process": row["process"], "unit": row["unit"]} for row in look["listeners"]]
        for row in look["listeners"]:
            row.update(process="", unit="")


def both_hold(there: Looks) -> None:
    interface(there, "sip2")["addresses"].append(f"{VIP}/24")
    there["sip2"]["probes"] = {VIP: {"carried": True}}


ALL, RELAY1 = "all", {"hosts": {"relay1": {}}}
# rule: what changes in the looks, in the inventory, what is said
HITS: list[tuple[str, Change, dict[str, Any], str]] = [
    (
        "LIVE001",
        lambda x: interface(x, "db1").update(addresses=["10.0.0.5/24"]),
        {},
        "sipha_core_address on db1: no interface has 198.18.20.21; the host has 10.0.0.5/24. Set it to an address",
    ),
    ("LIVE001", lambda x: interface(x, "db1").update(loopback=True), {}, "no interface has 198.18.20.21; the host has no address."),
    ("LIVE001", lambda x: x["db1"].update(interfaces=None), {}, "its interfaces can't be seen. Install the Debian package iproute2."),
    (
        "LIVE002",
        lambda _: None,
        {"hosts": {"relay1": {"sipha_public_interface": "eth1"}}},
        "sipha_public_interface on relay1: eth1 has not 198.18.10.31. Set it to eth0, or remove it.",
    ),
    ("LIVE002", lambda _: None, {"hosts": {"db1": {"sipha_core_interface": "bond0"}}}, "there is no interface bond0; there are lo, eth0."),
    (
        "LIVE003",
        lambda x: interface(x, "db1").update(addresses=["198.18.20.21/16"]),
        {},
        "sipha_core_address on db1: it says 198.18.20.21/24, the host has 198.18.20.21/16. Set it to 198.18.20.21/16, or correct the host.",
    ),
    ("LIVE004", lambda x: interface(x, "db1").update(up=False), {}, "sipha_core_address on db1: eth0, which has 198.18.20.21, is down."),
    (
        "LIVE005",
        lambda _: None,
        {"hosts": {"sip1": {"sipha_public_gateway": "198.18.11.1"}}},
        "sipha_public_gateway on sip1: 198.18.11.1 is not in 198.18.10.0/24, where eth0 is.",
    ),
    ("LIVE005", lambda x: x["sip2"].update(gateways=[]), {ALL: {"sipha_public_gateway": None}}, "the host has no default route to take it"),
    (
        "LIVE005",
        lambda x: x["sip2"].update(gateways=[{"address": "198.18.20.1", "interface": "eth1"}]),
        {ALL: {"sipha_public_gateway": None}},
        "on sip2: it is not set, and the default route's, 198.18.20.1, is behind eth1, not eth0. Set it to the router of the public",
    ),
    (
        "LIVE006",
        lambda x: interface(x, "relay1")["addresses"].append(f"{VIP}/24"),
        {},
        f"sipha_vips on relay1: VIP main {VIP} is on eth0, and the host is no proxy.",
    ),
    ("LIVE007", both_hold, {}, f"sipha_vips: VIP main {VIP} is on sip1 and sip2 at once. See that VRRP"),
    (
        "LIVE008",
        lambda x: x["sip2"]["probes"][VIP]["answers"].append(STRANGER.upper()),
        {},
        f"sipha_vips: VIP main {VIP} is answered by {STRANGER}, which is no proxy of this cluster (asked from sip2). Take the address",
    ),
    ("LIVE009", lambda x: x["db1"]["os"].update(id="ubuntu", version="22.04"), {}, "operating system on db1: it is ubuntu 22. Give the"),
    ("LIVE009", lambda x: x["db1"]["os"].update(version="11"), {}, "operating system on db1: it is debian 11."),
    ("LIVE010", lambda x: x["db1"]["os"].update(version="13"), {}, "operating system on db1: it is Debian 13, tested is 12."),
    ("LIVE010", lambda x: x["db1"]["os"].update(version=""), {}, "it is Debian testing or unstable"),
    ("LIVE011", lambda x: x["db1"].update(init="tini"), {}, "init on db1: it is tini. Boot the host, or the container, with systemd"),
    ("LIVE012", lambda x: x["db1"].update(python="3.9"), {}, "python3 on db1: /usr/bin/python3 is 3.9. Install"),
    ("LIVE012", lambda x: x["db1"].update(python=""), {}, "/usr/bin/python3 is missing."),
    ("LIVE013", lambda x: x["db1"].update(root=False), {}, "ansible_become on db1: Ansible is not root on the host. Set it to true"),
    (
        "LIVE014",
        lambda x: x["sip1"]["sysctls"]["net.ipv4.ip_nonlocal_bind"].update(value=""),
        {},
        "kernel on sip1: it has no net.ipv4.ip_no",
    ),
    (
        "LIVE014",
        lambda x: x["relay1"]["sysctls"]["net.netfilter.nf_conntrack_acct"].update(value="0", writable=False),
        {},
        "kernel on relay1: net.netfilter.nf_conntrack_acct is 0 and can't be written.",
    ),
    ("LIVE014", lambda x: x["relay1"].update(conntrack="missing"), {}, "kernel on relay1: it has no connection tracking (nf_conntrack)"),
    (
        "LIVE015",
        lambda x: x["relay1"].update(open_files=4096),
        {},
        "media_relay_port_range on relay1: its 9998 ports need 10998 open files, the host allows 4096. Set at most 3096 ports",
    ),
    ("LIVE015", lambda x: x["relay1"].update(open_files=4096), {ALL: {"sipha_media_relay": "rtpengine"}}, "rtpengine_port_max on relay1:"),
    ("LIVE016", lambda x: x["relay1"]["disks"]["/var"].update(free=255), {}, "disk /var on relay1: 255 MB are free, 256 are needed."),
    ("LIVE016", lambda x: x["relay1"]["disks"]["/etc"].update(files=3), {}, "disk /etc on relay1: it has room for 3 more files only."),
    (
        "LIVE016",
        lambda x: x["db1"]["disks"]["/var/lib/mysql"].update(free=1500, exists=False),
        {ALL: {"galera_gcache_size": "1G"}},
        "disk /var/lib/mysql on db1: 1500 MB are free, 1536 are needed.",
    ),
    ("LIVE017", lambda x: x["db1"]["disks"]["/var/lib/mysql"].update(free=1500), {}, "disk /var/lib/mysql on db1: 1500 MB are free."),
    (
        "LIVE018",
        lambda x: x["db1"].update(memory={"total": 2000, "available": 1000}),
        {ALL: {"galera_buffer_pool_size": "3G"}},
        "galera_buffer_pool_size on db1: 3072 MB, and the host has 2000 MB. Lower it.",
    ),
    (
        "LIVE019",
        lambda x: x["sip1"].update(memory={"total": 2000, "available": 900}),
        {},
        "opensips_shared_memory on sip1: programs may take 1792 MB, the system 512 MB, and the host has 2000 MB.",
    ),
    (
        "LIVE019",
        lambda x: (stopped(x, "db1"), x["db1"].update(memory={"total": 2000, "available": 200})),
        {},
        "galera_buffer_pool_size on db1: programs take 256 MB at their start, and 200 MB are free now.",
    ),
    (
        "LIVE020",
        lambda x: (listen(x, "sip1", 5060), listen(x, "sip1", 5060, "::", "tcp")),
        {},
        "opensips_port on sip1: asterisk (asterisk.service) has tcp and udp port 5060. Stop and disable it there, or set opensips_port",
    ),
    (
        "LIVE020",
        lambda x: listen(x, "db1", 3306, "127.0.0.1", "tcp", "mysqld"),
        {},
        "group databases on db1: mysqld (mysqld.service) has tcp",
    ),
    ("LIVE020", lambda x: listen(x, "sip1", 3306, "127.0.0.1", "tcp", "mariadbd"), {}, "db_router_port on sip1: mariadbd"),
    ("LIVE021", lambda x: late(x, 30), {}, "time_sync_servers on db2: the clock is 30.0 s ahead of the others'. See that the host reaches"),
    ("LIVE022", lambda x: late(x, -9), {ALL: {"time_sync_set_clock": False}}, "time_sync_set_clock on db2: the clock is 9.0 s behind the"),
    ("LIVE023", lambda x: x["db2"].update(hostname="DB1"), {}, "host name on db2: it is db1, like that of db1. Set another: hostnamectl"),
    (
        "LIVE024",
        lambda x: [x[name].update(machine_id="a" * 32) for name in ("db1", "db2")],
        {},
        "/etc/machine-id on db2: it is aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, like that of db1.",
    ),
    (
        "LIVE025",
        lambda x: interface(x, "db2").update(mac=interface(x, "db1")["mac"]),
        {},
        "hardware address on db2: 02:42:c6:12:14:15 is that of db1 too.",
    ),
    (
        "LIVE026",
        lambda x: x["db2"].update(controller_ca="ANOTHER"),
        {},
        "sipha_pki_dir: db2 trust a CA, and the controller's directory has another. Copy that directory from the controller that built",
    ),
    (
        "LIVE026",
        lambda x: [look.update(controller_ca="") for look in x.values()],
        {},
        "sipha_pki_dir: db1, db2, db3, relay1, relay2, sip1, sip2 trust a CA, and the controller's directory has none.",
    ),
]


def test_a_running_cluster_trips_nothing() -> None:
    assert verdict(looks()) == ([], "")


@pytest.mark.parametrize(("rule", "change", "overlay", "says"), HITS, ids=[f"{hit[0]}-{at}" for at, hit in enumerate(HITS)])
def test_a_rule_finds_what_it_is_for_and_no_other_speaks(rule: str, change: Change, overlay: dict[str, Any], says: str) -> None:
    there = looks()
    change(there)
    found, unjudged = verdict(there, overlay)
    assert {finding.id for finding in found} == {rule}, [str(finding) for finding in found]
    assert says in " ".join(map(str, found))
    assert unjudged == ""


def test_every_rule_has_a_hit_and_says_why() -> None:
    assert {hit[0] for hit in HITS} == {rule.id for rule in LIVE_RULES}
    assert len({rule.id for rule in (*RULES, *LIVE_RULES)}) == len(RULES) + len(LIVE_RULES)
    for rule in LIVE_RULES:
        assert rule.severity in ("error", "warning")
        assert rule.what, rule.id
        assert rule.why.endswith("."), rule.id


# What looks alike and is good.
MISSES: dict[str, tuple[Change, dict[str, Any]]] = {
    "LIVE001 a second address": (lambda x: interface(x, "db1")["addresses"].insert(0, "10.0.0.5/24"), {}),
    "LIVE002 the right name": (lambda _: None, {"hosts": {"sip1": {"sipha_public_interface": "eth0", "sipha_core_interface": "eth1"}}}),
    "LIVE003 the same address twice": (lambda x: interface(x, "sip1")["addresses"].append("198.18.10.11/32"), {}),
    "LIVE004 not known": (lambda x: interface(x, "db1").update(up=None), {}),
    "LIVE004 another interface": (lambda x: x["db1"]["interfaces"].append({"name": "eth9", "mac": "", "up": False, "addresses": []}), {}),
    "LIVE005 the default route's": (lambda _: None, {ALL: {"sipha_public_gateway": None}}),
    "LIVE005 not known": (lambda x: x["sip1"].update(gateways=None), {ALL: {"sipha_public_gateway": None}}),
    "LIVE005 a database behind another": (lambda x: x["db1"].update(gateways=[]), {ALL: {"sipha_public_gateway": None}}),
    "LIVE006 on loopback": (lambda x: interface(x, "relay1", "lo")["addresses"].append(f"{VIP}/32"), {}),
    "LIVE007 nobody": (lambda x: interface(x, "sip1")["addresses"].remove(f"{VIP}/24"), {}),
    "LIVE007 a dummy interface": (
        lambda x: x["sip2"]["interfaces"].append({"name": "dummy0", "mac": "", "up": True, "loopback": False, "addresses": [f"{VIP}/32"]}),
        {},
    ),
    "LIVE008 no answer": (lambda x: x["sip2"]["probes"][VIP].update(answers=[]), {}),
    "LIVE008 a proxy's other interface": (lambda x: x["sip2"]["probes"][VIP].update(answers=[interface(x, "sip1", "eth1")["mac"]]), {}),
    "LIVE008 nobody holds it": (
        lambda x: (interface(x, "sip1")["addresses"].remove(f"{VIP}/24"), x["sip1"].update(probes={VIP: {"answers": []}})),
        {},
    ),
    "LIVE009 a point release": (lambda x: x["db1"]["os"].update(version="12.8"), {}),
    "LIVE012 a later one": (lambda x: x["db1"].update(python="3.13"), {}),
    "LIVE014 to be set": (lambda x: x["sip1"]["sysctls"]["net.ipv4.ip_nonlocal_bind"].update(value="0"), {}),
    "LIVE014 read only, and right": (lambda x: x["sip1"]["sysctls"]["net.ipv4.ip_nonlocal_bind"].update(value="1", writable=False), {}),
    "LIVE014 a module": (
        lambda x: (x["relay1"].update(conntrack="loadable"), x["relay1"]["sysctls"]["net.netfilter.nf_conntrack_acct"].update(value="")),
        {},
    ),
    "LIVE014 not needed": (
        lambda x: (x["relay1"].update(conntrack="missing"), x["db1"].update(conntrack="missing")),
        {ALL: {"sipha_media_relay": "rtpengine"}},
    ),
    "LIVE015 no limit": (lambda x: x["relay1"].update(open_files=None), {}),
    "LIVE015 exactly": (lambda x: x["relay1"].update(open_files=10998), {}),
    "LIVE016 just enough": (lambda x: x["relay1"]["disks"]["/var"].update(free=256, files=None), {}),
    "LIVE016 no database": (lambda x: x["relay1"]["disks"]["/var/lib/mysql"].update(free=1), {}),
    "LIVE016 exactly so many files": (lambda x: x["relay1"]["disks"]["/etc"].update(files=1000), {}),
    "LIVE016 the cache is there": (
        lambda x: x["db1"]["disks"]["/var/lib/mysql"].update(free=2100, exists=True),
        {ALL: {"galera_gcache_size": "4G"}},
    ),
    "LIVE017 enough": (lambda x: x["db1"]["disks"]["/var/lib/mysql"].update(free=2048), {}),
    "LIVE019 exactly": (lambda x: x["sip1"].update(memory={"total": 2304, "available": 10}), {}),
    "LIVE019 exactly at the start": (lambda x: (stopped(x, "db1"), x["db1"].update(memory={"total": 2000, "available": 256})), {}),
    "LIVE019 not known": (lambda x: [look.update(memory={}) for look in x.values()], {}),
    "LIVE019 what it has already taken": (lambda x: x["db1"].update(memory={"total": 2000, "available": 10}), {}),
    "LIVE019 hidden": (lambda x: (hide(x), x["db1"].update(memory={"total": 2000, "available": 10})), {}),
    "LIVE020 another address": (lambda x: listen(x, "sip1", 5060, "127.0.0.1"), {}),
    "LIVE020 another protocol": (lambda x: listen(x, "db1", 3306, "0.0.0.0", "udp"), {}),
    "LIVE020 a relay of another kind": (lambda x: listen(x, "relay1", 2223), {}),
    "LIVE020 a proxy that relays nothing": (lambda x: listen(x, "sip1", 25060, protocol="tcp"), {ALL: {"sipha_media_relay": "none"}}),
    "LIVE020 another port": (lambda x: listen(x, "sip1", 5061), {}),
    "LIVE020 ours by name": (lambda x: listen(x, "sip1", 5060, process="opensips"), {}),
    "LIVE020 ours, hidden": (hide, {}),
    "LIVE020 ours by unit": (lambda x: x["db1"]["listeners"].append({**LOCAL, "process": "mysqld", "unit": "mariadb.service"}), {}),
    "LIVE021 a slow way": (lambda x: (late(x, 30), x["db2"]["clock"].update(before=900.0, after=1100.0)), {}),
    "LIVE021 within bounds": (lambda x: late(x, 0.6), {}),
    "LIVE022 within bounds": (lambda x: late(x, 8), {ALL: {"time_sync_set_clock": False, "time_sync_max_skew": 10}}),
    "LIVE023 not known": (lambda x: [look.update(hostname="", machine_id="") for look in x.values()], {}),
    "LIVE024 before the first boot": (lambda x: [look.update(machine_id="uninitialized") for look in x.values()], {}),
    "LIVE025 none": (lambda x: [interface(x, name).update(mac="00:00:00:00:00:00") for name in ("db1", "db2")], {}),
}
LOCAL = {"protocol": "tcp", "address": "127.0.0.1", "port": 3306}


@pytest.mark.parametrize("name", MISSES)
def test_what_looks_alike_and_is_good(name: str) -> None:
    change, overlay = MISSES[name]
    assert changed(change, overlay) == []


RTPENGINE = {ALL: {"sipha_media_relay": "rtpengine"}}
ARBITER = {"groups": {"databases": ["db1", "db2"], "arbitrators": ["db3"]}}
PORTS: list[tuple[str, str, int, str, dict[str, Any]]] = [
    ("sip1", "udp", 5060, "opensips_port", {}),
    ("sip2", "tcp", 5060, "opensips_port", {}),
    ("sip1", "udp", 5070, "opensips_port", {ALL: {"opensips_port": 5070}}),
    ("sip1", "tcp", 5566, "opensips_bin_port", {}),
    ("sip1", "tcp", 8888, "opensips_metrics_port", {}),
    ("sip1", "tcp", 3306, "db_router_port", {}),
    ("sip1", "tcp", 10306, "db_router_peers_port", {}),
    ("sip1", "tcp", 25060, "mediaproxy_control_port", {}),
    ("sip1", "tcp", 25061, "mediaproxy_management_port", {}),
    ("db1", "tcp", 3306, "group databases", {}),
    ("db1", "tcp", 4567, "group databases", {}),
    ("db1", "tcp", 3307, "galera_tls_port", {}),
    ("db1", "tcp", 9200, "galera_health_port", {}),
    ("db3", "tcp", 4567, "group arbitrators", ARBITER),
    ("relay1", "udp", 2223, "rtpengine_control_port", RTPENGINE),
    ("relay1", "tcp", 2223, "rtpengine_control_port", RTPENGINE),
]


@pytest.mark.parametrize(("host", "protocol", "port", "variable", "overlay"), PORTS)
def test_every_port_that_a_role_needs(host: str, protocol: str, port: int, variable: str, overlay: dict[str, Any]) -> None:
    there = looks()
    there["db3"]["listeners"] = []
    listen(there, host, port, protocol=protocol)
    found, _ = verdict(there, overlay)
    assert [(f.id, f.host, f.variable) for f in found] == [("LIVE020", host, variable)], [str(finding) for finding in found]


def test_the_strictest_skew_counts() -> None:
    there = looks()
    late(there, 3)
    found, _ = verdict(there, {ALL: {"time_sync_max_skew": 10}, "hosts": {"sip1": {"time_sync_max_skew": 1}}})
    assert [finding.id for finding in found] == ["LIVE021"]


@pytest.mark.parametrize("value", ["40000", "40000:x", "x:40010", f"{10**9}:{10**9}9"])
def test_a_port_range_that_is_none_is_not_judged(value: str) -> None:
    there = looks()
    there["relay1"]["open_files"] = 1
    found, _ = verdict(there, {"hosts": {"relay1": {"media_relay_port_range": value}}})
    assert found == []


def test_a_new_cluster_trips_nothing() -> None:
    there = looks()
    interface(there, "sip1")["addresses"].remove(f"{VIP}/24")
    for look in there.values():
        look.update(listeners=[], probes={VIP: {"answers": []}} if look["probes"] else {})
        look["sysctls"] = {name: {"value": "0", "writable": True} for name in look["sysctls"]}
        look["disks"]["/var/lib/mysql"]["exists"] = False
    assert verdict(there) == ([], "")


def test_a_stranger_that_is_another_host_of_ours_is_named() -> None:
    there = looks()
    there["sip2"]["probes"][VIP]["answers"] = [interface(there, "relay1")["mac"]]
    ((finding,), _) = verdict(there)
    assert "answered by 02:42:c6:12:0a:1f (relay1), which is no proxy" in finding.problem


def test_what_cannot_be_judged_is_said() -> None:
    there = looks()
    there["sip2"]["probes"] = {VIP: {"error": "it can't be asked for on eth0: Operation not permitted"}}
    listen(there, "db1", 4567, protocol="tcp", process="")
    assert verdict(there) == (
        [],
        "LIVE008 could not be judged on sip2: it can't be asked for on eth0: Operation not permitted; "
        "LIVE020 could not be judged on db1: somebody has tcp port 4567, and Ansible may not see who",
    )


def test_a_proxy_that_is_missing_may_be_the_stranger() -> None:
    there = looks()
    del there["sip1"]
    found, unjudged = verdict(there, missing={"sip1": "no answer"})
    assert found == []
    assert unjudged == (
        "nothing was seen of sip1 (no answer), so no rule was judged there; "
        "LIVE006, LIVE007, LIVE008, LIVE021, LIVE022, LIVE023, LIVE024, LIVE025 compare hosts and were judged without sip1; "
        f"LIVE008 could not be judged on sip2: 02:42:c6:12:0a:0b answers for {VIP} and may be that of sip1"
    )


def test_hosts_that_are_missing_hide_nothing_that_is_seen() -> None:
    there = looks()
    both_hold(there)
    for name in ("db1", "db3"):
        del there[name]
    found, unjudged = verdict(there, missing={"db1": "not in this run", "db3": "not in this run"})
    assert [finding.id for finding in found] == ["LIVE007"]
    assert "LIVE007" not in unjudged


def test_two_clocks_that_disagree_are_both_named() -> None:
    there = {name: look for name, look in looks().items() if name in ("db1", "db2")}
    late(there, 30)
    found, _ = verdict(there, missing={"sip1": "x"})
    assert [(f.id, f.host, f.problem) for f in found] == [
        ("LIVE021", "db1", "the clock is 30.0 s behind the others'"),
        ("LIVE021", "db2", "the clock is 30.0 s ahead of the others'"),
    ]


def test_waivers() -> None:
    reason = {ALL: {"sipha_waivers": {"LIVE004": "no cable yet", "LIVE001": "never"}}}
    there = looks()
    interface(there, "db1")["up"] = False
    interface(there, "db2")["addresses"] = []
    found, _ = verdict(there, reason)
    assert [(f.id, f.severity, f.waived) for f in found] == [("LIVE001", "error", ""), ("LIVE004", "warning", "no cable yet")]
    assert [(f.id, f.problem) for f in judged(overlaid(reason))] == [
        ("INV017", "LIVE001 can't be waived: the roles can't work with what it finds")
    ]


def test_a_waiver_that_waives_nothing_is_said_only_when_all_hosts_were_seen() -> None:
    reason = {ALL: {"sipha_waivers": {"LIVE004": "no cable yet"}}}
    assert judged(overlaid(reason)) == []  # the inventory alone does not know
    ((finding,), _) = verdict(looks(), reason)
    assert str(finding) == "INV016 sipha_waivers: nothing was found by LIVE004. Remove it."
    assert verdict({}, reason, dict.fromkeys(looks(), "not in this run"))[0] == []


@pytest.mark.parametrize("waivers", [[], "x", {1: 2}, {"LIVE004": None}, {"LIVE004": ["x"]}])
def test_waivers_of_a_wrong_kind_do_no_harm(waivers: object) -> None:
    verdict(looks(), {ALL: {"sipha_waivers": waivers}})


JUNK = junk("198.18.10.10/24", "198.18.10.10", "tcp", 5060, "0.0.0.0", "12", "debian", 10**400)


def paths(look: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in plain data."""
    inner = look.items() if isinstance(look, dict) else enumerate(look) if isinstance(look, list) else ()
    return [at, *(path for key, value in inner for path in paths(value, (*at, key)))]


def put(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    at = data
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return data


PLACES = {name: paths(look) for name, look in looks().items()}


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), value=JUNK, host=st.sampled_from(["sip1", "sip2", "db1", "relay1"]))
def test_no_answer_of_a_host_gives_a_traceback(data: st.DataObject, value: Any, host: str) -> None:
    there = looks()
    there[host] = put(there[host], data.draw(st.sampled_from(PLACES[host])), copy.deepcopy(value))
    for finding in verdict(there)[0]:
        assert str(finding).startswith(finding.id)
