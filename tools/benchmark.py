#!/usr/bin/env python3
"""Measures what the README claims, on the lab, and prints medians with their spread.

tools/benchmark.py outage [N]    VIP outage as a SIP client sees it at 50 Hz, N times each (default 3); the cluster must be up
tools/benchmark.py build [N]     destroys and builds the lab N times: machines, site.yml on fresh hosts, site.yml again
tools/benchmark.py memory        what the lab's containers use
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VIP, INTERVAL = "198.18.10.10", 0.02
PROXIES = ("sip1", "sip2")
# Runs on the probe host. Open loop: a request every 20 ms whatever happens; prints the longest time between two answered requests.
CLIENT = """
import json, select, socket, sys, time
vip, interval, seconds = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", 0)); s.setblocking(False)
own = "198.18.10.50"; port = s.getsockname()[1]
start = time.monotonic(); sent = {}; answered = []; n = 0
print("ready", flush=True)
while time.monotonic() - start < seconds:
    due = start + n * interval
    wait = due - time.monotonic()
    if wait > 0:
        select.select([s], [], [], wait)
    try:
        while True:
            text = s.recv(65535).decode(errors="replace")
            if text.startswith("SIP/2.0 200"):
                key = text.lower().split("call-id: ", 1)[1].split("\\r\\n", 1)[0]
                if key in sent:
                    answered.append(sent.pop(key))
    except (BlockingIOError, ConnectionRefusedError):
        pass
    if time.monotonic() >= due:
        key = f"bench-{n}-{port}@x"
        sent[key] = time.monotonic()
        request = (f"OPTIONS sip:{vip}:5060 SIP/2.0\\r\\nVia: SIP/2.0/UDP {own}:{port};rport;branch=z9hG4bK{n}x{port}\\r\\n"
                   f"Max-Forwards: 5\\r\\nFrom: <sip:bench@{own}>;tag={n}\\r\\nTo: <sip:{vip}>\\r\\nCall-ID: {key}\\r\\n"
                   f"CSeq: 1 OPTIONS\\r\\nContent-Length: 0\\r\\n\\r\\n")
        try:
            s.sendto(request.encode(), (vip, 5060))
        except OSError:
            pass
        n += 1
answered.sort()
gaps = [b - a for a, b in zip(answered, answered[1:])]
print(json.dumps({"sent": n, "answered": len(answered), "outage": max(gaps) if gaps else None, "lost": n - len(answered)}))
"""


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout


def until(check: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            raise SystemExit(f"not within {seconds} s: {what}")
        time.sleep(0.2)


def run_ok(*arguments: str) -> bool:
    return subprocess.run(["docker", *arguments], check=False, capture_output=True).returncode == 0


def holders() -> list[str]:
    return [p for p in PROXIES if run_ok("exec", f"sipha-{p}", "sh", "-c", f"ip -4 -o address show dev eth0 | grep -q ' {VIP}/'")]


def whole() -> bool:
    return len(holders()) == 1 and all(run_ok("exec", f"sipha-{p}", "sipha-health") for p in PROXIES)


def settled() -> str:
    until(whole, 120, "both proxies healthy, one of them the holder")
    # peers must be worth taking over: every check up on both
    until(
        lambda: all("1" not in docker("exec", f"sipha-{p}", "sh", "-c", "cd /run/sipha/track && cat sip db core gateway") for p in PROXIES),
        60,
        "tracks",
    )
    return holders()[0]


def outage(break_it: Callable[[str], object], heal: Callable[[str], object]) -> float:
    old = settled()
    client = subprocess.Popen(
        ["docker", "exec", "-i", "sipha-probe", "python3", "-u", "-c", CLIENT, VIP, str(INTERVAL), "6"], stdout=subprocess.PIPE, text=True
    )
    assert client.stdout
    client.stdout.readline()
    time.sleep(1.5)
    break_it(old)
    result = json.loads(client.stdout.readline())
    client.wait()
    heal(old)
    return float(result["outage"])


FAULTS: dict[str, tuple[Callable[[str], object], Callable[[str], object]]] = {
    "systemctl stop keepalived": (
        lambda h: docker("exec", f"sipha-{h}", "systemctl", "stop", "keepalived"),
        lambda h: docker("exec", f"sipha-{h}", "systemctl", "start", "keepalived"),
    ),
    "docker kill of the holder": (lambda h: docker("kill", f"sipha-{h}"), lambda h: docker("start", f"sipha-{h}")),
    "kill -9 of OpenSIPS": (lambda h: docker("exec", f"sipha-{h}", "pkill", "-9", "-x", "opensips"), lambda h: None),
    "OpenSIPS frozen (SIGSTOP)": (
        lambda h: docker("exec", f"sipha-{h}", "systemctl", "kill", "--signal=STOP", "opensips"),
        lambda h: docker("exec", f"sipha-{h}", "systemctl", "kill", "--signal=CONT", "opensips"),
    ),
}


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
    what = sys.argv[1] if len(sys.argv) > 1 else "outage"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    print("| what | median | min to max | n |\n|---|---|---|---|")
    if what == "outage":
        for name, (break_it, heal) in FAULTS.items():
            print(line(f"outage, {name}", [outage(break_it, heal) for _ in range(count)], "s"), flush=True)
    elif what == "build":
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
