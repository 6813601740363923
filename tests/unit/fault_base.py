"""A host as tests of faults need it: it knows a unit, two links with routes, a disk; it writes down what it is told to do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.sipha.cluster.plugins.module_utils.drill.fault_host import Disk, Done, Host, Process

LO = {"ifname": "lo", "flags": ["LOOPBACK", "UP"], "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8, "scope": "host"}]}


def inet(local: str, prefix: int, **more: Any) -> dict[str, Any]:
    return {"family": "inet6" if ":" in local else "inet", "local": local, "prefixlen": prefix, "scope": "global", **more}


def link(name: str, *addresses: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"ifname": name, "flags": ["BROADCAST", "UP", "LOWER_UP"], "addr_info": list(addresses), **more}


PUBLIC = link(
    "eth0",
    inet("198.18.10.11", 24, broadcast="198.18.10.255", label="eth0"),
    inet("198.18.10.10", 24, secondary=True, label="eth0"),
    inet("2001:db8::11", 64, nodad=True),
    inet("2001:db8::10", 128, nodad=True, deprecated=True),
    inet("2001:db8::aa", 64, dynamic=True),
    {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
)
CORE = link("eth1", inet("198.18.20.11", 24, label="eth1"))
ROUTES_4: list[dict[str, Any]] = [
    {"dst": "default", "gateway": "198.18.10.1", "dev": "eth0", "flags": []},
    {"dst": "10.0.0.0/8", "dev": "eth0", "scope": "link", "table": "77", "flags": ["onlink"]},
    {"dst": "10.9.0.0/16", "gateway": "198.18.20.1", "dev": "eth1", "metric": 50, "metrics": [{"mtu": 1400}], "flags": []},
    {"dst": "198.18.10.0/24", "dev": "eth0", "protocol": "kernel", "scope": "link", "prefsrc": "198.18.10.11", "flags": []},
    {"type": "local", "dst": "198.18.10.11", "dev": "eth0", "table": "local", "flags": []},
    {"dst": "10.8.0.0/16", "dev": "eth0", "protocol": "keepalived", "flags": []},
    {"dst": "10.7.0.0/16", "flags": [], "nexthops": [{"gateway": "198.18.10.2", "dev": "eth0", "weight": 1, "flags": []}]},
    {"dst": "10.6.0.0/16", "dev": "eth0", "prefsrc": "198.18.10.10", "flags": []},
]
ROUTES_6 = [
    {"dst": "default", "gateway": "fe80::99", "dev": "eth0", "metric": 1024, "pref": "medium", "flags": []},
    {"dst": "2001:db8:5::/64", "gateway": "fe80::99", "dev": "eth0", "metric": 1024, "expires": 1700, "flags": []},
]


@dataclass
class Fake(Host):
    """`units` are those that are active; `fails` says which commands (by how they begin) fail with what."""

    units: dict[str, dict[str, Process]] = field(
        default_factory=lambda: {"opensips.service": {"7": Process("S", "70"), "8": Process("R", "80")}}
    )
    dependants: str = ""
    links: list[dict[str, Any]] = field(default_factory=lambda: [LO, PUBLIC, CORE])
    routes_4: list[dict[str, Any]] = field(default_factory=lambda: list(ROUTES_4))
    answers: dict[str, str] = field(default_factory=dict)
    fails: dict[str, Done] = field(default_factory=dict)
    disks: dict[str, Disk] = field(default_factory=lambda: {"/": Disk(10**10, 1, "ext4"), "/run": Disk(10**9, 2, "tmpfs")})
    is_container: str = ""
    ahead: float = 1000.0
    told: list[str] = field(default_factory=list)
    stdin: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root, self.runner = "", self._do

    def _do(self, command: Sequence[str], stdin: str) -> Done:
        text = " ".join(command)
        self.told.append(text)
        self.stdin.append(stdin)
        for start, done in self.fails.items():
            if text.startswith(start):
                return done
        for start, answer in self.answers.items():
            if text.startswith(start):
                return Done(0, answer)
        if text.startswith("systemctl is-active"):
            return Done(0 if command[-1] in self.units else 3)
        if text.startswith("systemctl show"):
            name = command[-1]
            known = name in self.units or name == "idle.service"
            state = {
                "Id": name,
                "LoadState": "loaded" if known else "not-found",
                "ActiveState": "active" if name in self.units else "inactive",
            }
            return Done(0, "\n".join(f"{key}={value}" for key, value in {**state, "BoundBy": self.dependants}.items()))
        if text.startswith(("ip -j address show", "ip -j link show")):
            return Done(0, json.dumps(self.links))
        if text.startswith("ip -j -4 route show table all"):
            return Done(0, json.dumps(self.routes_4))
        if text.startswith("ip -j -6 route show table all"):
            return Done(0, json.dumps(ROUTES_6))
        return Done(0)

    def processes(self, unit: str) -> dict[str, Process]:
        return self.units.get(unit, {})

    def disk(self, directory: str) -> Disk:
        return next(disk for place, disk in sorted(self.disks.items(), reverse=True) if directory.startswith(place))

    def memory(self) -> int:
        return 10**9

    def container(self) -> str:
        return self.is_container

    def clock_ahead(self) -> float:
        return self.ahead
