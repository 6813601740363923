"""How faults of packets, disk and clock are injected, healed and seen; and what a host is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.drill.fault import FaultError
from ansible_collections.sipha.cluster.plugins.module_utils.drill.fault_host import Disk, Done, Host, Process
from ansible_collections.sipha.cluster.plugins.module_utils.drill.fault_plan import Plan, Verdict
from fault_base import ROUTES_4, Fake
from test_fault_plan import commands, plan, refused, there, whole


def rules(made: Plan) -> list[str]:
    (text,) = made.files.values()
    return [line.strip().removesuffix(" counter drop") for line in text.splitlines() if line.endswith("drop")]


def test_a_partition_drops_at_the_devices_both_ways() -> None:
    host = Fake()
    made = plan("partition", host, peers=["198.18.10.12", "10.0.0.0/8", "2001:db8::12"])
    assert commands(made) == ["nft --file /run/sipha-faults/drill.nft"]
    assert made.heal == ("try no_table netdev sipha_fault_drill",)
    (text,) = made.files.values()
    assert 'hook ingress devices = { "eth0", "eth1" }' in text
    assert 'hook egress devices = { "eth0", "eth1" }' in text
    assert rules(made) == [
        "ip saddr { 198.18.10.12, 10.0.0.0/8 }",
        "ip6 saddr { 2001:db8::12 }",
        "ip daddr { 198.18.10.12, 10.0.0.0/8 }",
        "ip6 daddr { 2001:db8::12 }",
    ]
    assert there("partition", made, host).good
    host.fails["nft list table netdev sipha_fault_drill"] = Done(1)
    assert not there("partition", made, host).good
    assert whole("partition", made, host).good


def test_a_partition_by_protocol_port_and_direction() -> None:
    assert rules(plan("partition", Fake(), peers=None, protocols=["vrrp"])) == ["meta l4proto { 112 }"] * 2
    assert rules(plan("partition", Fake(), peers=["10.0.0.1"], protocols=["vrrp"], direction="in")) == [
        "ip saddr { 10.0.0.1 } meta l4proto { 112 }"
    ]
    assert rules(plan("partition", Fake(), peers=["10.0.0.1"], ports=[3306, 4567], direction="out")) == [
        "ip daddr { 10.0.0.1 } meta l4proto { 6, 17 } th dport { 3306, 4567 }",
        "ip daddr { 10.0.0.1 } meta l4proto { 6, 17 } th sport { 3306, 4567 }",
    ]
    assert refused("partition", Fake(), peers=["198.18.20.11"]) == "peers has 198.18.20.11, an address of this host itself"


def test_a_kernel_without_egress_gets_the_family_inet_and_says_what_that_means() -> None:
    class Old(Fake):
        def run(self, *command: str, stdin: str = "") -> Done:
            return Done(1, "", "no egress") if "table netdev" in stdin else super().run(*command, stdin=stdin)

    host = Old(answers={"ip -j -4 route show default": json.dumps(ROUTES_4[:1]), "ip -j neigh": '[{"lladdr": "02:00:00:00:00:01"}]'})
    made = plan("partition", host)
    (text,) = made.files.values()
    assert "type filter hook output priority -350" in text
    assert 'oifname { "eth0", "eth1" } ip daddr { 198.18.10.12 } counter drop' in text
    assert made.heal == ("try no_table inet sipha_fault_drill",)
    assert "senders on this host are told" in there("partition", made, host).text
    (text,) = plan("gateway_gone", host).files.values()
    assert "rt ip nexthop 198.18.10.1 counter drop" in text
    assert "ether daddr" not in text
    without = Fake(fails={"nft": Done(127)})
    assert refused("partition", without) == "nft is not installed on this host: install the package nftables"


def test_losses_are_drawn_by_lot_on_the_link_alone() -> None:
    made = plan("packet_loss", Fake(), addresses=["198.18.20.11"], loss=2.5)
    (text,) = made.files.values()
    assert text.count('devices = { "eth1" }') == 2
    assert rules(made) == ["numgen random mod 1000 < 25"] * 2


def test_name_servers_are_out_of_reach_at_the_loopback_too() -> None:
    made = plan("dns_gone", Fake())
    (text,) = made.files.values()
    assert 'egress devices = { "lo", "eth0", "eth1" }' in text
    assert rules(made) == ["meta l4proto { 6, 17 } th dport { 53, 853 }", "ip daddr 127.0.0.11"]


def test_the_gateway_is_lost_with_all_that_goes_over_it() -> None:
    mac = '[{"dst": "198.18.10.1", "lladdr": "02:42:00:00:00:01", "state": ["STALE"]}]'
    host = Fake(answers={"ip -j -4 route show default": json.dumps(ROUTES_4[:1]), "ip -j neigh show to 198.18.10.1 dev eth0": mac})
    made = plan("gateway_gone", host)
    assert rules(made) == ["ether saddr 02:42:00:00:00:01", "ip saddr 198.18.10.1", "ether daddr 02:42:00:00:00:01", "ip daddr 198.18.10.1"]
    assert '{ "eth0" }' in next(iter(made.files.values()))
    host.answers["ip -j route get 198.18.20.1"] = '[{"dst": "198.18.20.1", "dev": "eth1"}]'
    assert refused("gateway_gone", host, gateway="198.18.20.1") == "gateway 198.18.20.1 does not answer on eth1: it is gone already"
    assert "ping -c 1 -W 1 -I eth1 198.18.20.1" in host.told
    host.answers["ip -j route get 10.9.0.1"] = '[{"dst": "10.9.0.1", "gateway": "198.18.20.1", "dev": "eth1"}]'
    assert refused("gateway_gone", host, gateway="10.9.0.1") == "gateway is 10.9.0.1, which is no neighbour of this host"
    host.answers["ip -j route get 198.18.10.11"] = '[{"type": "local", "dst": "198.18.10.11", "dev": "lo"}]'
    assert refused("gateway_gone", host, gateway="198.18.10.11") == "gateway is 198.18.10.11, which is no neighbour of this host"
    assert "this host has no default route: set gateway" in refused("gateway_gone", Fake(answers={"ip -j -4 route show default": "[]"}))


def test_netem_goes_where_the_kernel_s_own_discipline_is() -> None:
    own = '[{"kind": "noqueue", "handle": "0:", "root": true}]'
    host = Fake(answers={"tc -j qdisc show dev eth0": own})
    made = plan("netem", host, loss=20.0, jitter=0.01)
    assert commands(made) == ["tc qdisc add dev eth0 root handle 51f: netem limit 100000 delay 200ms 10ms loss 20%"]
    assert made.heal == ("! tc qdisc show dev eth0 | grep -q 'netem 51f:' || try tc qdisc del dev eth0 root",)
    assert not there("netem", made, host).good
    assert whole("netem", made, host).good
    host.answers["tc -j qdisc show dev eth0"] = '[{"kind": "netem", "handle": "51f:", "root": true}]'
    assert there("netem", made, host).good
    assert not whole("netem", made, host).good
    assert refused("netem", host) == "eth0 has the queueing discipline netem, which could not be brought back"


# Disk and clock
def test_a_disk_is_filled_by_a_file_without_a_name() -> None:
    host = Fake()
    host.disks["/var/lib/mysql"] = Disk(500 * 2**20, 9, "ext4")
    made = plan("disk_full", host, leave=20)
    start, _, text = commands(made)[0].partition(" -- ")
    assert start == "systemd-run --quiet --collect --unit=sipha-fault-drill.service"
    assert text == f"/bin/sh /run/sipha-faults/drill.fill.sh /var/lib/mysql/.sipha-fault-drill {480 * 2**20}"
    assert made.heal == ("may systemctl stop sipha-fault-drill.service", "try rm -f /var/lib/mysql/.sipha-fault-drill")
    assert there("disk_full", made, host) == Verdict(False, "sipha-fault-drill.service does not run: the disk could not be filled")
    host.units["sipha-fault-drill.service"] = {}
    assert there("disk_full", made, host) == Verdict(False, "/var/lib/mysql has 500 MB free")
    assert not whole("disk_full", made, host).good
    host.disks["/var/lib/mysql"] = Disk(20 * 2**20, 9, "ext4")
    assert there("disk_full", made, host) == Verdict(True, "/var/lib/mysql has 20 MB free")
    assert refused("disk_full", host, leave=20) == "/var/lib/mysql has 20 MB free, that is no more than leave"


def test_a_disk_that_others_or_healing_need_is_not_filled() -> None:
    host = Fake()
    assert "is on a file system of the system itself: set allow_root to true" in refused("disk_full", host)
    assert "leave is 10 MB, set it to at least 64 on" in refused("disk_full", host, allow_root=True, leave=10)
    assert plan("disk_full", host, allow_root=True, leave=64).facts["size"] == 10**10 - 64 * 2**20
    assert "is on the file system of /run, which healing needs" in refused("disk_full", host, directory="/run/x")
    host.disks["/var/lib/mysql"] = Disk(10**9, 9, "tmpfs")
    assert "more than half of what is left" in refused("disk_full", host)
    host.disks["/var/lib/mysql"] = Disk(10**9, 1, "overlayfs")
    assert "is on an overlay, which is the disk of the machine below" in refused("disk_full", host, allow_root=True, leave=64)


def test_the_clock_is_set_and_set_back_by_the_time_since_the_start() -> None:
    host = Fake()
    host.units["chrony.service"] = {}
    made = plan("clock_stepped", host, step=-3600.0)
    assert made.inject[0] == ("systemctl", "stop", "chrony.service")
    assert made.inject[1][-1] == "-2600.0"
    assert made.heal[0].endswith(" 1000.0")
    assert made.heal[1] == "try start chrony.service"
    assert not there("clock_stepped", made, host).good
    host.ahead = -2600.1
    assert there("clock_stepped", made, host) == Verdict(True, "the clock is -3600.1 s off")
    assert whole("clock_stepped", made, host).good is False
    host.ahead = 1000.1
    assert whole("clock_stepped", made, host).good
    host.is_container = "docker"
    assert "this is a container (docker)" in refused("clock_stepped", host)


# The host itself
def test_processes_of_a_unit_are_found_by_their_control_group(tmp_path: Path) -> None:
    stat = "{} (a) b) {} 1 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 {} 0"
    groups = {
        "5": ("0::/docker/x\n1:name=systemd:/docker/x/system.slice/opensips.service\n", stat.format(5, "T", 500)),
        "6": ("0::/system.slice/opensips.service\n", stat.format(6, "S", 600)),
        "7": ("0::/system.slice/opensips.service\n", stat.format(7, "Z", 700)),
        "8": ("0::/system.slice/opensips2.service\n", stat.format(8, "S", 800)),
    }
    for pid, (group, line) in groups.items():
        (tmp_path / "proc" / pid).mkdir(parents=True)
        (tmp_path / "proc" / pid / "cgroup").write_text(group)
        (tmp_path / "proc" / pid / "stat").write_text(line)
    (tmp_path / "proc" / "9").mkdir()  # ended meanwhile
    assert Host(root=str(tmp_path)).processes("opensips.service") == {"5": Process("T", "500"), "6": Process("S", "600")}


def test_a_command_that_fails_is_named_with_what_it_said() -> None:
    host = Host()
    with pytest.raises(FaultError, match=r"^sh -c echo no >&2; exit 4: exit code 4: no$"):
        host.need("sh", "-c", "echo no >&2; exit 4")
    with pytest.raises(FaultError, match="sipha-no-such is not installed"):
        host.need("sipha-no-such")
    with pytest.raises(FaultError, match="did not answer with JSON: 'x"):
        host.rows("echo", "x")
    assert host.rows("echo", "[{}]") == []
