#!/usr/bin/env python3
"""Changes the proxies of a running lab under load, N times each, and prints what clients and the database saw of it.

tools/benchmark_upgrade.py [N] [reload] [restart] [switchover] [series=3.4]     N: default 5; without names all of them

reload      routes change: reloaded in place
restart     a parameter changes: both proxies restart, one after the other
switchover  the VIP goes to the other proxy and back
series=X    the lab goes to OpenSIPS X without load, and back to its own series under load

The load is that of the tests: 20 calls/s to a phone behind NAT, each ringing 2 s, re-INVITE after 7 s, BYE after 14 s (some 300 up), and 6
REGISTER/s of 200 phones. "Gap" is the longest time in which no OPTIONS (25 a second) got a good answer within 0.5 s, and what the probe
itself was late, where that was over 0.1 s. Exit code 1 when anything was lost in any of them. The lab's tests and their programs are used,
so they must have the lab for themselves.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "molecule/cluster/tests"), str(ROOT / "plugins")]

import sipp_runner
from cluster_lab import Lab
from load import load
from module_utils.drill.cli import bundle
from sipp_runner import Phone
from test_75_ringing import run_playbook

PROBE = "/root/sipha-drill.pyz"
SERIES = "3.6"
_number = count(int(time.time()) % 1000)


class Gap:
    """A client that asks the VIP 50 times a second, while the block runs."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.summary: dict[str, Any] = {}

    def __enter__(self) -> Gap:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "drill.pyz"
            bundle(path)
            subprocess.run(["docker", "cp", "-q", str(path), f"{self.lab.host('probe').container}:{PROBE}"], check=True)
        self.lab.host("probe").run("pkill -f sipha-drill.pyz")
        settings = json.dumps({"target": self.lab.vip, "rate": 25, "seconds": 900})
        command = f"python3 {PROBE} probe > /root/sipha-probe.jsonl"
        self.process = self.lab.host("probe").spawn("sh", "-c", command, stdin=settings.encode())
        return self

    def __exit__(self, *_: object) -> None:
        self.lab.host("probe").run("pkill -TERM -f sipha-drill.pyz")
        self.process.wait(60)
        self.summary = json.loads(self.lab.host("probe").check("tail -n 1 /root/sipha-probe.jsonl"))


@dataclass
class Row:
    seconds: float
    gap: float | None  # at most: what the probe was late itself is in it; None: that was too much
    lost: dict[str, int]


def play(name: str, variables: dict[str, Any]) -> None:
    code, output = run_playbook(name, "--extra-vars", json.dumps(variables))
    if code:
        raise SystemExit(f"{name}.yml failed:\n{output[-4000:]}")


def reload_routes(_: Lab) -> None:
    text = f'route[MINE] {{\n\txlog("L_DBG", "number {next(_number)}\\n");\n}}\n'
    play("upgrade_script", {"opensips_extra_routes": text, "opensips_hooks": {"call": "MINE"}})


def restart(_: Lab) -> None:
    number = next(_number) % 100
    play("upgrade_script", {"opensips_max_forwards": 20 + number % 40, "opensips_default_expires": 500 + number})


def switchover(lab: Lab) -> None:
    old = lab.holder()
    for _ in range(2):
        play("switchover", {})
    if lab.holder() != old:
        raise SystemExit("the VIP did not come back")


def to_series(series: str) -> Callable[[Lab], None]:
    return lambda _: play("upgrade_engine", {"sipha_opensips_version": series})


def once(lab: Lab, what: Callable[[Lab], None], seconds: int) -> Row:
    lab.all_synced()
    lab.settled(90)
    bob = Phone(lab, "bob", lab.port())
    lab.sql("DELETE FROM location")
    with Gap(lab) as gap, load(lab, bob, seconds) as under:
        start = time.monotonic()
        what(lab)
        took = time.monotonic() - start
        if not under.still_on():
            raise SystemExit(f"the load ended before the change did, which took {took:.0f} s")
    result, wanted = under.result, under.expected
    calls, good = result["calls"]
    if gap.summary["problem"]:
        print(f"    the probe: {gap.summary['problem']}", flush=True)
    lost = {
        "calls": under.calls - good + (calls != under.calls),
        "registrations": under.registered - result["registrations"] + (not result["phones"]),
        "CDRs": 0 if result["cdrs"] else -1,
        "OPTIONS": gap.summary["lost"],
        "refused": len(result["refused"]),
    }
    if result != wanted:
        print(f"    {result}\n    wanted {wanted}", flush=True)
    off = gap.summary["lag"].get("max", 0.0) if gap.summary["problem"] else 0.0
    return Row(took, None if off > 1 else max(gap.summary["outage"], gap.summary["silence"]) + off, lost)


def report(name: str, rows: list[Row]) -> None:
    def spread(values: list[float | None], digits: int) -> str:
        known = [value for value in values if value is not None]
        few = "" if len(known) == len(values) else f", n={len(known)}"
        return f"{statistics.median(known):.{digits}f} ({max(known):.{digits}f}{few})" if known else "not measured"

    lost = {what: sum(abs(row.lost[what]) for row in rows) for what in rows[0].lost}
    text = ", ".join(f"{number} {what}" for what, number in lost.items() if number) or "0"
    print(f"| {name} | {spread([r.seconds for r in rows], 0)} | {spread([r.gap for r in rows], 2)} | {text} | {len(rows)} |", flush=True)


def main() -> int:
    words = sys.argv[1:]
    times = int(words.pop(0)) if words and words[0].isdigit() else 5
    ways: dict[str, tuple[str, Callable[[Lab], None], int]] = {
        "reload": ("routes reloaded in place", reload_routes, 65),
        "restart": ("both proxies restarted", restart, 85),
        "switchover": ("switchover there and back", switchover, 65),
    }
    wanted = words or [*ways, "series=3.4"]
    lab = Lab()
    sipp_runner.install(lab, "phone", "phone2", "probe", "router")
    bad = 0
    print("| change under load | seconds: median (worst) | longest gap, s: median (worst) | lost | n |\n|---|---|---|---|---|", flush=True)
    for word in wanted:
        kind, _, series = word.partition("=")
        rows = []
        for _ in range(times):
            if kind == "series":
                to_series(series)(lab)
                rows.append(once(lab, to_series(SERIES), 170))
            else:
                rows.append(once(lab, ways[word][1], ways[word][2]))
            print(f"    {word} {rows[-1]}", flush=True)
        report(f"OpenSIPS {series} to {SERIES}" if kind == "series" else ways[word][0], rows)
        bad += any(any(row.lost.values()) for row in rows)
    play("upgrade_script", {})
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
