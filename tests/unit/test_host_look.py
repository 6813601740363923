"""What a host says about itself: parsers on recorded text, a made-up file system, this machine, and ARP between two network namespaces."""

from __future__ import annotations

import ast
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils import host_look
from ansible_collections.sipha.cluster.plugins.module_utils.host_look import Host, arp_probe, arp_sender, facts, unit_of

MAC = bytes.fromhex("0242c6120a0b")
# `ip -j addr` of a proxy that holds the VIP, shortened.
IP = """[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],"mtu":65536,"operstate":"UNKNOWN","address":"00:00:00:00:00:00",
"addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8},{"family":"inet","local":"198.18.10.10","prefixlen":32},
{"family":"inet6","local":"::1","prefixlen":128}]},
{"ifindex":40,"link_index":41,"ifname":"eth0","flags":["BROADCAST","MULTICAST","UP","LOWER_UP"],"mtu":1500,"operstate":"UP",
"address":"02:42:c6:12:0a:0b","addr_info":[{"family":"inet","local":"198.18.10.11","prefixlen":24},
{"family":"inet","local":"198.18.10.10","prefixlen":24,"secondary":true}]},
{"ifindex":42,"ifname":"br-core.7","flags":["BROADCAST","MULTICAST","UP","NO-CARRIER"],"mtu":1400,"address":"02:42:c6:12:14:0b","addr_info":[]},
{}]"""
ROUTE = """Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth1	00000000	011412C6	0003	0	0	100	00000000	0	0	0
eth0	00000000	010A12C6	0003	0	0	0	00000000	0	0	0
eth0	000A12C6	00000000	0001	0	0	0	00FFFFFF	0	0	0
"""
TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0B1412C6:15BE 00000000:0000 0A 00000000:00000000 00:00000000 00000000   102        0 12933899 1 00000000c854eca9 100 0 0 10 0
   1: 0B1412C6:9C40 151412C6:0CEB 01 00000000:00000000 00:00000000 00000000   102        0 12933900 1 00000000c854eca9 100 0 0 10 0
"""
TCP6 = """  sl  local_address                         remote_address                        st tx rx tr when retrnsmt uid timeout inode
   0: 00000000000000000000000000000000:13C4 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 777 1 0 100 0 0 10 0
   1: 0000000000000000FFFF00000B1412C6:13C5 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 778 1 0 100 0 0 10 0
"""


def test_interfaces() -> None:
    lo, eth0, core = host_look.interfaces(IP)
    assert (lo["loopback"], lo["addresses"]) == (True, ["127.0.0.1/8", "198.18.10.10/32"])
    assert eth0 == {
        "name": "eth0",
        "mac": "02:42:c6:12:0a:0b",
        "mtu": 1500,
        "up": True,
        "loopback": False,
        "addresses": ["198.18.10.11/24", "198.18.10.10/24"],
    }
    assert (core["up"], core["addresses"]) == (False, [])


def test_the_preferred_default_route_comes_first() -> None:
    assert host_look.gateways(ROUTE) == [
        {"address": "198.18.10.1", "interface": "eth0"},
        {"address": "198.18.20.1", "interface": "eth1"},
    ]
    assert host_look.gateways("") == []


def test_only_sockets_that_wait_for_anybody() -> None:
    assert list(host_look.listening(TCP, "tcp", "0A")) == [("tcp", "198.18.20.11", 5566, "12933899")]
    assert list(host_look.listening(TCP6, "tcp", "0A")) == [("tcp", "::", 5060, "777"), ("tcp", "198.18.20.11", 5061, "778")]


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/opensips.service\n", "opensips.service"),
        ("9:name=systemd:/docker/29d41e/system.slice/opensips.service\n2:cpu:/docker/29d41e\n0::/\n", "opensips.service"),
        ("0::/system.slice/docker.service/system.slice/mariadb.service", "mariadb.service"),
        ("0::/system.slice/system-garbd.slice/garbd@a.service/sub", "garbd@a.service"),
        ("0::/init.scope", "init.scope"),
        ("0::/\n", ""),
        ("", ""),
    ],
)
def test_the_unit_of_a_process(cgroup: str, unit: str) -> None:
    assert unit_of(cgroup) == unit


def test_small_files() -> None:
    assert host_look.os_release('# x\nID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n\nEMPTY=\n') == {
        "id": "debian",
        "version": "12",
        "codename": "bookworm",
    }
    assert host_look.os_release("ID=debian\n")["version"] == ""
    assert host_look.os_release("") == {"id": "", "version": "", "codename": ""}
    assert host_look.memory("MemTotal:       24684000 kB\nMemAvailable:    1024 kB\nHugePages_Total: 0\n") == {
        "total": 24105,
        "available": 1,
    }
    assert host_look.open_files("Max open files            1024                 524288               files     \n") == 524288
    assert host_look.open_files("Max open files            1024                 unlimited            files     \n") is None


def test_an_arp_probe_leaves_no_trace_in_tables() -> None:
    frame = arp_probe(MAC, "198.18.10.10")
    assert frame.hex() == "ffffffffffff0242c6120a0b080600010800060400010242c6120a0b00000000000000000000c6120a0a"
    assert arp_sender(frame, "198.18.10.10") == ""  # its sender says that it has 0.0.0.0
    assert arp_sender(frame, "0.0.0.0") == "02:42:c6:12:0a:0b"


def test_who_says_that_it_has_the_address() -> None:
    reply = bytes.fromhex("0242c6120a0b02000000007708060001080006040002020000000077c6120a0a0242c6120a0b00000000") + b"\0" * 18
    assert arp_sender(reply, "198.18.10.10") == "02:00:00:00:00:77"
    assert arp_sender(reply, "198.18.10.11") == ""
    assert arp_sender(reply[:41], "198.18.10.10") == ""
    assert arp_sender(b"\0" * 60, "0.0.0.0") == ""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "etc/os-release": "ID=debian\nVERSION_ID=12\n",
        "etc/machine-id": "0123\n",
        "proc/meminfo": "MemTotal: 2048 kB\n",
        "proc/net/route": ROUTE,
        "proc/net/tcp": TCP,
        "proc/net/udp6": TCP6.replace(" 0A ", " 07 "),
        "proc/1/comm": "systemd\n",
        "proc/1/cgroup": "0::/init.scope\n",
        "proc/77/comm": "opensips\n",
        "proc/77/cgroup": "0::/system.slice/opensips.service\n",
        "proc/sys/net/ipv4/ip_forward": "1\n",
        "usr/bin/python3.11": "",
        "var/lib/x": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "usr/bin/python3").symlink_to("python3.11")
    for pid, number, target in (
        ("1", "3", "socket:[777]"),
        ("77", "5", "socket:[777]"),
        ("1", "4", "socket:[12933899]"),
        ("77", "1", "/x"),
    ):
        (tmp_path / f"proc/{pid}/fd").mkdir(exist_ok=True)
        (tmp_path / f"proc/{pid}/fd/{number}").symlink_to(target)
    return tmp_path


def test_a_made_up_host(root: Path) -> None:
    look = Host(str(root), lambda _: IP).look(["198.18.10.10", "10.0.0.1"], 1.0)
    json.dumps(look)
    assert (look["machine_id"], look["init"], look["python"], look["conntrack"]) == ("0123", "systemd", "3.11", "missing")
    assert look["memory"] == {"total": 2}
    assert look["sysctls"]["net.ipv4.ip_forward"]["value"] == "1"
    assert look["sysctls"]["net.ipv4.ip_nonlocal_bind"] == {"value": "", "writable": False}
    assert [(disk["exists"], disk["free"] > 0) for disk in look["disks"].values()] == [(True, True), (True, True), (False, True)]
    assert look["listeners"] == [
        {"protocol": "tcp", "address": "198.18.20.11", "port": 5566, "process": "systemd", "unit": "init.scope"},
        {"protocol": "udp", "address": "198.18.20.11", "port": 5061, "process": "", "unit": ""},
        {"protocol": "udp", "address": "::", "port": 5060, "process": "opensips", "unit": "opensips.service"},
    ]
    assert look["probes"] == {"198.18.10.10": {"carried": True}, "10.0.0.1": {"error": "no interface is in its subnet"}}


def test_facts_have_the_names_that_roles_read(root: Path) -> None:
    found = facts(Host(str(root), lambda _: IP).look([], 1.0))
    assert found["ansible_interfaces"] == ["lo", "eth0", "br-core.7"]
    assert found["ansible_eth0"]["ipv4"] == {"address": "198.18.10.11", "prefix": "24"}
    assert found["ansible_eth0"]["ipv4_secondaries"] == [{"address": "198.18.10.10", "prefix": "24"}]
    assert found["ansible_br_core.7"]["device"] == "br-core.7"
    assert found["ansible_default_ipv4"] == {"gateway": "198.18.10.1", "interface": "eth0", "address": "198.18.10.11"}
    assert (found["ansible_distribution"], found["ansible_distribution_major_version"]) == ("Debian", "12")


def test_a_host_without_anything(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    look = Host(str(tmp_path), lambda _: "").look(["198.18.10.10"], 1.0)
    assert (look["interfaces"], look["listeners"], look["python"], look["gateways"]) == (None, [], "", [])
    assert facts(look)["ansible_interfaces"] == []


def test_this_machine() -> None:
    """A real socket of this process is found with its owner."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        look = Host().look([], 1.0)
        (mine,) = [row for row in look["listeners"] if row["port"] == server.getsockname()[1] and row["protocol"] == "tcp"]
    assert mine["address"] == "127.0.0.1"
    assert mine["process"] == Path("/proc/self/comm").read_text().strip()
    assert look["memory"]["total"] > look["memory"]["available"] > 0
    assert look["disks"]["/etc"]["exists"] is True


namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True).returncode != 0,
    reason="needs root and network namespaces",
)
IMPORT = "from ansible_collections.sipha.cluster.plugins.module_utils.host_look import Host, who_has; "


def inside(script: str, *options: str) -> str:
    collections = {"PYTHONPATH": str(Path(__file__).resolve().parents[2] / ".collections")}
    command = ["unshare", "--net", *options, "bash", "-e", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **collections}, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@namespaces
@pytest.mark.parametrize("drop", ["", "setpriv --bounding-set=-sys_ptrace"])
def test_whose_a_port_is_and_what_hides_it(drop: str) -> None:
    """A daemon of another user, seen by root with and without CAP_SYS_PTRACE."""
    script = f"""
    mount -t tmpfs none /run
    cp /usr/bin/python3 /run/opensips
    ip link set lo up
    mkfifo /run/ready
    setpriv --reuid=65534 --clear-groups /run/opensips -c "
import socket, time
with socket.create_server(('0.0.0.0', 5060)):
    print(flush=True); time.sleep(20)" > /run/ready &
    read line < /run/ready
    {drop} "{sys.executable}" -c "{IMPORT} host = Host(); print((host.listeners()[0], list(map(host.process, host.owners({{'x'}})[1]))))"
    kill $!
    """
    ((listener,), hidden) = ast.literal_eval(inside(script, "--pid", "--fork", "--mount-proc"))
    assert (listener["address"], listener["port"], listener["process"]) == ("0.0.0.0", 5060, "" if drop else "opensips")
    assert ("opensips" in [process["process"] for process in hidden]) == bool(drop)


@namespaces
def test_a_neighbour_answers_and_learns_nothing() -> None:
    script = f"""
    unshare --net sleep 20 & other=$!
    for i in 1 2 3 4 5 6 7 8 9; do [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/self/ns/net)" ] && break; sleep 0.1; done
    ip link add near type veth peer name far netns $other
    ip addr add 10.9.9.2/24 dev near && ip link set near up
    nsenter --net --target $other sh -c 'ip link set far address 02:00:00:00:00:aa up && ip addr add 10.9.9.1/24 dev far'
    "{sys.executable}" -c "{IMPORT} print(who_has(['10.9.9.1', '10.9.9.9'], 'near'))"
    nsenter --net --target $other ip neigh show
    kill $other
    """
    assert inside(script).strip() == "{'10.9.9.1': ['02:00:00:00:00:aa'], '10.9.9.9': []}"
