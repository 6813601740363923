#!/usr/bin/env python3
"""Measures what the README claims, on the lab, and prints medians with their spread.

tools/benchmark.py build [N]     destroys and builds the lab N times (default 3): machines, site.yml on fresh hosts, site.yml again
tools/benchmark.py memory        what the lab's containers use

What a fault costs is measured by playbooks/drill.yml.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout


def line(name: str, values: list[float], unit: str) -> str:
    return f"| {name} | {statistics.median(values):.2f} {unit} | {min(values):.2f} to {max(values):.2f} | {len(values)} |"


def playbook(*arguments: str) -> float:
    start = time.monotonic()
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    done = subprocess.run(
        [str(ROOT / ".venv/bin/ansible-playbook"), *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stdout[-3000:])
    return time.monotonic() - start


def build(count: int) -> None:
    times: dict[str, list[float]] = {"machines": [], "site.yml on fresh hosts": [], "site.yml again": []}
    for _ in range(count):
        playbook("lab/destroy.yml")
        times["machines"].append(playbook("lab/create.yml"))
        playbook("playbooks/secrets.yml")
        times["site.yml on fresh hosts"].append(playbook("playbooks/site.yml"))
        times["site.yml again"].append(playbook("playbooks/site.yml"))
    for name, values in times.items():
        print(line(name, values, "s"))


def main() -> None:
    what = sys.argv[1] if len(sys.argv) > 1 else "build"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    print("| what | median | min to max | n |\n|---|---|---|---|")
    if what == "build":
        build(count)
    elif what == "memory":
        rows = docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}").splitlines()
        units = {"MiB": 1.0, "GiB": 1024.0, "KiB": 1 / 1024, "B": 1 / 1048576}
        total = 0.0
        for row in rows:
            if row.startswith("sipha-"):
                number = row.split()[1]
                unit = next(u for u in ("MiB", "GiB", "KiB", "B") if number.endswith(u))
                total += float(number[: -len(unit)]) * units[unit]
        print(f"| memory of the lab | {total:.0f} MiB | | {len(rows)} containers |")
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
