"""One look at a host: what it is, its interfaces, kernel, memory, disks, clock, and who listens on its ports. Reads, and changes nothing.

Runs on the host, with nothing but the standard library. `topology/live.py` reads what comes out."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

SYSCTLS = ("net.ipv4.ip_nonlocal_bind", "net.ipv4.ip_forward", "net.netfilter.nf_conntrack_acct")
DISKS = ("/etc", "/var", "/var/lib/mysql")
PROC_NET = (("tcp", "tcp", "0A"), ("tcp6", "tcp", "0A"), ("udp", "udp", "07"), ("udp6", "udp", "07"))  # file, protocol, state that listens
CA = "/etc/sipha/pki/ca.pem"
PROBE_SECONDS = 0.3
ETHER_ARP = 0x0806


def os_release(text: str) -> dict[str, str]:
    """/etc/os-release: id, version, codename."""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.lstrip().startswith("#"))
    names = {"id": "ID", "version": "VERSION_ID", "codename": "VERSION_CODENAME"}
    return {key: "".join(shlex.split(values.get(name, ""))[:1]) for key, name in names.items()}


def interfaces(text: str) -> list[dict[str, Any]]:
    """`ip -j addr`: each interface with its IPv4 addresses."""
    return [
        {
            "name": link["ifname"],
            "mac": link.get("address", ""),
            "mtu": link.get("mtu", 0),
            "up": {"UP", "LOWER_UP"} <= set(link.get("flags", [])),
            "loopback": "LOOPBACK" in link.get("flags", []),
            "addresses": [f"{a['local']}/{a['prefixlen']}" for a in link.get("addr_info", []) if a.get("family") == "inet"],
        }
        for link in json.loads(text)
        if link.get("ifname")
    ]


def _address(number: str) -> str:
    """The kernel's hexadecimal form: words of 32 bits in the order of the machine."""
    words = [struct.pack("=I", int(number[at : at + 8], 16)) for at in range(0, len(number), 8)]
    if len(words) == 1:
        return socket.inet_ntop(socket.AF_INET, words[0])
    packed = b"".join(words)
    if packed[:12] == b"\0" * 10 + b"\xff\xff":  # an IPv4 address on an IPv6 socket
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed)


def gateways(text: str) -> list[dict[str, str]]:
    """/proc/net/route: default routes, the preferred one first."""
    routes = [line.split() for line in text.splitlines()[1:]]
    found = [(int(r[6]), _address(r[2]), r[0]) for r in routes if len(r) > 7 and r[1] == r[7] == "00000000" and int(r[3], 16) & 2]
    return [{"address": address, "interface": interface} for _metric, address, interface in sorted(found)]


def memory(text: str) -> dict[str, int]:
    """/proc/meminfo in MB."""
    values = dict(re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE))
    return {key: int(values[name]) // 1024 for key, name in (("total", "MemTotal"), ("available", "MemAvailable")) if name in values}


def open_files(text: str) -> int | None:
    """/proc/1/limits: how many files a process may open at most, None for no limit."""
    match = re.search(r"^Max open files\s+\S+\s+(\d+)", text, re.MULTILINE)
    return int(match[1]) if match else None


def listening(text: str, protocol: str, state: str) -> Iterator[tuple[str, str, int, str]]:
    """/proc/net/tcp and the like: (protocol, address, port, inode) of sockets that wait for anybody."""
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == state:
            address, _, port = fields[1].partition(":")
            yield protocol, _address(address), int(port, 16), fields[9]


def unit_of(cgroup: str) -> str:
    """/proc/PID/cgroup: the systemd unit, whatever the container around it."""
    units: list[str] = re.findall(r"/([^/\n]+\.(?:service|scope))(?=/|$)", cgroup, re.MULTILINE)
    return units[-1] if units else ""


def arp_probe(mac: bytes, address: str) -> bytes:
    """Who has the address? Asked from 0.0.0.0 (RFC 5227), so that nobody's table changes."""
    header = b"\xff" * 6 + mac + struct.pack("!H", ETHER_ARP)
    return header + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + b"\0" * 4 + b"\0" * 6 + socket.inet_aton(address)


def arp_sender(frame: bytes, address: str) -> str:
    """The MAC of whoever says in this frame that it has the address."""
    if len(frame) < 42 or frame[12:20] != struct.pack("!HHHBB", ETHER_ARP, 1, 0x0800, 6, 4) or frame[28:32] != socket.inet_aton(address):
        return ""
    return frame[22:28].hex(":")


def who_has(addresses: list[str], interface: str, seconds: float = PROBE_SECONDS) -> dict[str, list[str]]:
    """The MACs that claim each of these addresses in the segment of an interface, asked for twice."""
    found: dict[str, set[str]] = {address: set() for address in addresses}
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHER_ARP)) as link:
        link.bind((interface, ETHER_ARP))
        mac = link.getsockname()[4]
        end = time.monotonic() + seconds
        for again in (end - seconds / 2, end):
            for address in addresses:
                link.send(arp_probe(mac, address))
            while (left := again - time.monotonic()) > 0:
                link.settimeout(left)
                try:
                    frame = link.recv(128)
                except TimeoutError:
                    break
                for address in addresses:
                    found[address].add(arp_sender(frame, address))
    return {address: sorted(macs - {"", mac.hex(":")}) for address, macs in found.items()}


class Host:
    """Where to look; tests give another root and runner."""

    def __init__(self, root: str = "", run: Callable[[str], str] | None = None) -> None:
        self.root = root
        self.run = run or _run

    def read(self, path: str) -> str:
        try:
            with open(self.root + path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def names(self, path: str) -> list[str]:
        try:
            return os.listdir(self.root + path)
        except OSError:
            return []

    def sysctl(self, name: str) -> dict[str, Any]:
        path = "/proc/sys/" + name.replace(".", "/")
        return {"value": self.read(path).strip(), "writable": os.access(self.root + path, os.W_OK)}

    def conntrack(self) -> str:
        """Is connection tracking in the kernel, or a module that modprobe would find?"""
        if os.path.exists(self.root + "/proc/sys/net/netfilter/nf_conntrack_acct"):
            return "loaded"
        modules = f"/lib/modules/{os.uname().release}/modules."
        return "loadable" if any("/nf_conntrack.ko" in self.read(modules + name) for name in ("builtin", "dep")) else "missing"

    def disk(self, path: str) -> dict[str, Any]:
        """Of the file system that holds the path, or will."""
        there = path
        while not os.path.exists(self.root + there) and there != "/":
            there = os.path.dirname(there)
        status = os.statvfs(self.root + there)
        free = status.f_bavail * status.f_frsize // 2**20
        return {"exists": there == path, "free": free, "files": status.f_favail if status.f_files else None}

    def process(self, pid: str) -> dict[str, str]:
        return {"process": self.read(f"/proc/{pid}/comm").strip(), "unit": unit_of(self.read(f"/proc/{pid}/cgroup"))}

    def listeners(self) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
        """Who listens where, and processes whose sockets can't be seen: without CAP_SYS_PTRACE, as in many containers, not even by root."""
        rows = {row for file, protocol, state in PROC_NET for row in listening(self.read("/proc/net/" + file), protocol, state)}
        owners, hidden = self.owners({f"socket:[{inode}]" for *_, inode in rows})
        found = {}
        for protocol, address, port, inode in sorted(rows):
            pid = owners.get(f"socket:[{inode}]")
            process = self.process(pid) if pid else {"process": "", "unit": ""}
            row = {"protocol": protocol, "address": address, "port": port, **process}
            found[tuple(row.values())] = row  # one row where an engine's workers have a socket each
        unseen = {tuple(process.values()): process for process in map(self.process, hidden) if process["unit"]}
        return list(found.values()), list(unseen.values())

    def owners(self, wanted: set[str]) -> tuple[dict[str, str], list[str]]:
        """A process for each socket, and those that hide theirs. PID 1 only where no other has it (systemd keeps what it hands on)."""
        owners: dict[str, str] = {}
        hidden = []
        for pid in sorted((name for name in self.names("/proc") if name.isdigit()), key=int, reverse=True):
            if len(owners) == len(wanted):
                break
            try:
                for number in os.listdir(f"{self.root}/proc/{pid}/fd"):
                    target = os.readlink(f"{self.root}/proc/{pid}/fd/{number}")
                    if target in wanted:
                        owners.setdefault(target, pid)
            except PermissionError:
                hidden.append(pid)
            except OSError:
                continue  # it has ended, or closed a file, meanwhile
        return owners, hidden

    def python(self) -> str:
        """Version of /usr/bin/python3, which our daemons run with."""
        match = re.search(r"python(3\.\d+)$", os.path.realpath(self.root + "/usr/bin/python3"))
        return match[1] if match and os.path.exists(self.root + "/usr/bin/python3") else ""

    def probes(self, addresses: list[str], links: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Who else has them? What the host has itself is not asked for."""
        carried = {one.partition("/")[0] for link in links if not link["loopback"] for one in link["addresses"]}
        found: dict[str, dict[str, Any]] = {address: {"carried": True} for address in addresses if address in carried}
        asked: dict[str, list[str]] = {}
        for address in addresses:
            if address not in carried:
                behind = (
                    link["name"] for link in links if not link["loopback"] and any(_inside(address, one) for one in link["addresses"])
                )
                asked.setdefault(next(behind, ""), []).append(address)
        for interface, ours in asked.items():
            try:
                answers = who_has(ours, interface) if interface else {}
                found.update({one: {"answers": answers[one]} if interface else {"error": "no interface is in its subnet"} for one in ours})
            except OSError as error:
                found.update({one: {"error": f"it can't be asked for on {interface}: {error.strerror or error}"} for one in ours})
        return found

    def ca(self) -> str:
        """The certificate of the cluster's CA, as the roles put it there; empty without one."""
        return self.read(CA).strip()

    def look(self, probe: list[str], started: float) -> dict[str, Any]:
        """Everything, as plain data."""
        text = self.run("ip -j addr")
        links = interfaces(text) if text else None
        listeners, hidden = self.listeners()
        return {
            "hostname": os.uname().nodename,
            "machine_id": self.read("/etc/machine-id").strip(),
            "root": os.geteuid() == 0,
            "os": os_release(self.read("/etc/os-release")),
            "init": "systemd" if os.path.isdir(self.root + "/run/systemd/system") else self.read("/proc/1/comm").strip(),
            "python": self.python(),
            "interfaces": links,
            "gateways": gateways(self.read("/proc/net/route")),
            "memory": memory(self.read("/proc/meminfo")),
            "disks": {path: self.disk(path) for path in DISKS},
            "sysctls": {name: self.sysctl(name) for name in SYSCTLS},
            "conntrack": self.conntrack(),
            "open_files": open_files(self.read("/proc/1/limits")),
            "listeners": listeners,
            "hidden": hidden,
            "probes": self.probes(probe, links or []),
            "ca": self.ca(),
            "clock": {"first": started, "last": time.time()},
        }


def _run(command: str) -> str:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin"
    words = command.split()
    program = shutil.which(words[0], path=path)
    if not program:
        return ""
    done = subprocess.run([program, *words[1:]], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""


def _inside(address: str, one: str) -> bool:
    """Is the address in the subnet of another, which is written with its prefix length?"""
    own, _, prefix = one.partition("/")
    a, b = (int.from_bytes(socket.inet_aton(each), "big") for each in (address, own))
    return int(prefix) < 32 and (a ^ b) >> (32 - int(prefix)) == 0


def facts(look: dict[str, Any]) -> dict[str, Any]:
    """The part that roles read, under the names that ansible.builtin.setup gives it."""
    links, system = look["interfaces"] or [], look["os"]
    found: dict[str, Any] = {
        "ansible_hostname": look["hostname"].partition(".")[0],
        "ansible_distribution": system["id"].capitalize(),
        "ansible_distribution_version": system["version"],
        "ansible_distribution_major_version": system["version"].partition(".")[0],
        "ansible_distribution_release": system["codename"],
        "ansible_memtotal_mb": look["memory"].get("total", 0),
        "ansible_interfaces": [link["name"] for link in links],
        "ansible_default_ipv4": {},
    }
    for link in links:
        addresses = [{"address": a.partition("/")[0], "prefix": a.partition("/")[2]} for a in link["addresses"]]
        data = {"device": link["name"], "macaddress": link["mac"], "mtu": link["mtu"], "active": link["up"]}
        if addresses:
            data.update(ipv4=addresses[0], ipv4_secondaries=addresses[1:])
        found["ansible_" + link["name"].replace("-", "_").replace(":", "_")] = data
    for gateway in look["gateways"][:1]:
        own = next(
            (link["addresses"][0].partition("/")[0] for link in links if link["name"] == gateway["interface"] and link["addresses"]), ""
        )
        found["ansible_default_ipv4"] = {"gateway": gateway["address"], "interface": gateway["interface"], "address": own}
    return found
