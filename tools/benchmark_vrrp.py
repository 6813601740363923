#!/usr/bin/env python3
"""How often proxies of the lab take each other for dead without reason, by the interval of VRRP adverts, while all its processors are busy.

tools/benchmark_vrrp.py [SECONDS] [PRIORITY] [INTERVAL ...]     default: 120 seconds each of 1 0.5 0.2 0.1 0.05

PRIORITY is how keepalived runs: as-is (default), ordinary, nice (-20), realtime.
Twice as many busy loops as processors run on each proxy meanwhile. A false failover is a proxy that becomes master, or backup, although
nothing was broken. "Detected after" is what keepalived waits for a silent master: three adverts and the skew. The lab must be up; its
keepalived.conf is put back at the end.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

PROXIES = ("sip1", "sip2")
CONF = "/etc/keepalived/keepalived.conf"
BURN = "import time\nend = time.time() + {seconds}\nwhile time.time() < end: pass"
STATE = re.compile(r"Entering (MASTER|BACKUP|FAULT) STATE")


def inside(host: str, command: str) -> str:
    done = subprocess.run(["docker", "exec", f"sipha-{host}", "sh", "-c", command], capture_output=True, text=True, check=True)
    return done.stdout


PRIORITIES = {"ordinary": "", "nice": "vrrp_priority -20", "realtime": "vrrp_rt_priority 50"}


def set_priority(line: str) -> None:
    for host in PROXIES:
        inside(
            host,
            f"sed -i -e '/vrrp_priority\\|vrrp_rt_priority/d' -e 's/^global_defs {{/&\\n{line}/' {CONF} && systemctl restart keepalived",
        )
        time.sleep(5)


def set_interval(interval: str) -> None:
    for host in PROXIES:
        inside(host, f"sed -i 's/advert_int .*/advert_int {interval}/' {CONF} && systemctl reload keepalived")


def changes(seconds: int) -> int:
    """So many changes of state while everything is busy."""
    cores = os.cpu_count() or 1
    burners = [
        subprocess.Popen(["docker", "exec", f"sipha-{host}", "python3", "-c", BURN.format(seconds=seconds)])
        for host in PROXIES
        for _ in range(2 * cores)
    ]
    began = time.time()
    for one in burners:
        one.wait()
    logs = [inside(host, f"journalctl --unit=keepalived --no-pager --output=cat --since=@{began:.0f}") for host in PROXIES]
    return sum(len(STATE.findall(log)) for log in logs)


def main() -> None:
    words = sys.argv[1:]
    seconds = int(words[0]) if words else 120
    for host in PROXIES:
        inside(host, f"cp -a {CONF} /root/keepalived.conf.before")
    priority = words.pop(1) if words[1:] and words[1][0].isalpha() else "as-is"
    if priority in PRIORITIES:
        set_priority(PRIORITIES[priority])
    intervals = words[1:] or ["1", "0.5", "0.2", "0.1", "0.05"]
    print("| adverts every | a silent master is detected after | changes of state | per hour |\n|---|---|---|---|", flush=True)
    try:
        for interval in intervals:
            set_interval(interval)
            time.sleep(max(5.0, 5 * float(interval)))  # the reload itself is none of it
            number = changes(seconds)
            detected = float(interval) * (3 + (256 - 238) / 256)
            print(f"| {interval} s | {detected:.2f} s | {number} in {seconds} s | {number * 3600 / seconds:.0f} |", flush=True)
    finally:
        for host in PROXIES:
            inside(host, f"cp -a /root/keepalived.conf.before {CONF} && systemctl restart keepalived")


if __name__ == "__main__":
    main()
