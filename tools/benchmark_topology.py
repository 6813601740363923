#!/usr/bin/env python3
"""Measures the topology model, its rules and the what-if on generated inventories, and prints medians with their spread.

tools/benchmark_topology.py [N]    N runs of each (default 5). Goals: 1,000 hosts through model, rules and single losses below 1 s; ten
                                   times as many hosts cost about ten times as much; all pairs of 60 hosts below 2 s.

The inventories are one huge cluster each: the model has no limit. That a cluster has at most 14 proxies is a rule (INV007), and says so.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / ".collections"))

from ansible_collections.sipha.cluster.plugins.filter.topology import role_defaults
from ansible_collections.sipha.cluster.plugins.module_utils.topology.build import build
from ansible_collections.sipha.cluster.plugins.module_utils.topology.rules import judge
from ansible_collections.sipha.cluster.plugins.module_utils.topology.whatif import pair_losses, rows, single_losses

COUNTS = (1000, 2000, 5000, 10000)
GOALS = {"1,000 hosts: all three": 1.0, "60 hosts: all pairs": 2.0}


def inventory(count: int) -> tuple[dict[str, list[str]], dict[str, dict[str, Any]]]:
    """A tenth are proxies, as many databases (an odd number), the rest relays; seven racks."""
    tenth = max(2, count // 10)
    names = [f"host{number:05}" for number in range(count)]
    databases = tenth - 1 + tenth % 2
    groups = {"proxies": names[:tenth], "databases": names[tenth : tenth + databases], "relays": names[tenth + databases :]}
    everywhere = {
        "sipha_domain": "sip.example.org",
        "sipha_vips": [{"name": "main", "address": "10.200.255.250/16", "router_id": 51, "preferred": names[:2]}],
        "sipha_secret_db_engine": "pH7drlHUOmfIuL3SjBIfwlgThyDO8brF",
        "sipha_secret_db_sst": "tkE85lV4nGMc6astv6EKztZnrBhaj0hq",
        "sipha_secret_auth_nonce": "4Z2VfF786FJx9RjuzyoYmsZ3nmKkxj9k",
        "sipha_secret_ca_passphrase": "Fp6R7V5xIrvv74dEeBgqLtyHj1kdEtMS",
    }
    hosts = {}
    for number, name in enumerate(names):
        own = {
            "sipha_public_address": f"10.200.{number // 250}.{number % 250 + 1}/16",
            "sipha_core_address": f"10.100.{number // 250}.{number % 250 + 1}/16",
            "sipha_failure_domain": f"rack{number % 7}",
        }
        hosts[name] = {**everywhere, **own}
    return groups, hosts


def read(hosts: dict[str, dict[str, Any]]) -> Callable[[str, str], Any]:
    return lambda host, variable: hosts[host].get(variable)


def seconds(work: Callable[[], object], collector: bool = True) -> float:
    """Python's garbage collector looks at all objects again and again, which costs more than linear: what is there before is taken out of
    its sight, and it can be off, to see what the model itself costs."""
    gc.collect()
    gc.freeze()
    if not collector:
        gc.disable()
    begin = time.perf_counter()
    made = work()
    taken = time.perf_counter() - begin
    del made
    gc.enable()
    gc.unfreeze()
    return taken


class Table:
    def __init__(self, runs: int) -> None:
        self.runs, self.medians = runs, dict[str, float]()
        print(f"{'what':<48}{'median s':>10}{'lowest':>10}{'highest':>10}{'goal':>8}")

    def add(self, name: str, work: Callable[[], object], collector: bool = True) -> None:
        times = [seconds(work, collector) for _ in range(self.runs)]
        self.medians[name] = statistics.median(times)
        goal = f"< {GOALS[name]:g}" if name in GOALS else ""
        print(f"{name:<48}{self.medians[name]:>10.4f}{min(times):>10.4f}{max(times):>10.4f}{goal:>8}", flush=True)


def main() -> None:
    table = Table(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    defaults = role_defaults()

    def three(groups: dict[str, list[str]], hosts: dict[str, dict[str, Any]]) -> tuple[object, ...]:
        topology = build(groups, read(hosts), defaults)
        return topology, judge(topology), single_losses(topology)

    for count in COUNTS:
        made = inventory(count)
        topology = build(made[0], read(made[1]), defaults)
        if count in (min(COUNTS), max(COUNTS)):
            table.add(f"{count:,} hosts: model", partial(build, made[0], read(made[1]), defaults))
            table.add(f"{count:,} hosts: rules", partial(judge, topology))
            table.add(f"{count:,} hosts: single losses", partial(single_losses, topology))
            table.add(f"{count:,} hosts: what-if rows, with pairs", partial(rows, topology))
        table.add(f"{count:,} hosts: all three", partial(three, *made))
        table.add(f"{count:,} hosts: all three, garbage collector off", partial(three, *made), collector=False)
    groups, hosts = inventory(60)
    table.add("60 hosts: all pairs", partial(pair_losses, build(groups, read(hosts), defaults)))

    for suffix in ("", ", garbage collector off"):
        times = [table.medians[f"{count:,} hosts: all three{suffix}"] for count in COUNTS]
        shares = ", ".join(f"{1e6 * taken / count:.0f}" for taken, count in zip(times, COUNTS, strict=True))
        print(f"ten times the hosts cost {times[-1] / times[0]:.1f} times as much; microseconds a host: {shares}{suffix}")
    missed = [name for name, goal in GOALS.items() if table.medians[name] >= goal]
    sys.exit(f"missed: {', '.join(missed)}" if missed else 0)


if __name__ == "__main__":
    main()
