#!/usr/bin/env python3
"""How many packets a second can a media relay of the lab forward, and what does a packet cost it? Prints a Markdown table row.

One stream of 200-byte packets each way between two hosts of the public network, at rising rates: first directly, then through the relay
that the lab has (sipha_media_relay). All hosts share this machine's cores, so the relay's own cost is what the machine is busier with the
relay in between than without it, per packet: that is what "per core" is made of. The rate is the highest at which less than 0.1 % is lost.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RATES = (5000, 10000, 15000, 20000, 25000, 30000, 40000, 60000)
SECONDS = 4.0
LOSS = 0.001
A, B, PROXY = ("probe", "198.18.10.50"), ("router2", "198.18.10.41"), "sip1"

END = r"""
import socket, sys, time
port, peer, peer_port, rate, seconds = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
s.bind(("0.0.0.0", port))
s.setblocking(False)
body = b"\x80\x08" + bytes(10) + b"\xd5" * 188
sent = got = 0
# Both ends are there before the first packet: they begin at a given time, by the clock that they share.
begin = time.monotonic() + float(sys.argv[6]) - time.time()
end = begin + seconds + 1
while (now := time.monotonic()) < end:
    due = int(max(0, min(now - begin, seconds)) * rate) - sent
    for _ in range(min(due, 64)):
        s.sendto(body, (peer, peer_port))
        sent += 1
    try:
        for _ in range(256):
            s.recv(2048)
            got += 1
    except BlockingIOError:
        if due < 8:
            time.sleep(0.0005)
print(sent, got)
"""

MEDIAPROXY = r"""
import socket, sys
a, b, call = sys.argv[1:4]
def ask(text):
    s = socket.socket(socket.AF_UNIX)
    s.connect("/run/mediaproxy/dispatcher.sock")
    s.sendall(text.replace("\n", "\r\n").encode())
    return s.recv(4096).decode().split()
common = f"call_id: {call}\ncseq: 1\nfrom_uri: a@x\nto_uri: b@x\nfrom_tag: f\nto_tag: t\nuser_agent: x\n"
if len(sys.argv) > 4:
    print(*ask(f"remove\ncall_id: {call}\nfrom_tag: f\nto_tag: t\n\n"))
else:
    one = ask(f"update\ntype: request\n{common}signaling_ip: {a}\nmedia: audio:{a}:20000:sendrecv:ice=no\n\n")
    two = ask(f"update\ntype: reply\n{common}signaling_ip: {b}\nmedia: audio:{b}:20000:sendrecv:ice=no\n\n")
    print(two[0], two[1], one[1])
"""

RTPENGINE = r"""
import re, socket, sys
a, b, call, relay = sys.argv[1:5]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(2)
def text(value): return f"{len(value)}:{value}"
def ask(**fields):
    body = "d" + "".join(text(k.replace("_", "-")) + text(v) for k, v in sorted(fields.items())) + "e"
    s.sendto(f"bench {body}".encode(), (relay, 2223))
    return s.recv(65535).decode()
def sdp(address): return f"v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\nm=audio 20000 RTP/AVP 8\r\n"
def where(reply): return re.search(r"c=IN IP4 (\S+)", reply)[1], re.search(r"m=audio (\d+)", reply)[1]
if len(sys.argv) > 5:
    ask(command="delete", call_id=call, from_tag="f")
else:
    ip, for_b = where(ask(command="offer", call_id=call, from_tag="f", sdp=sdp(a)))
    _, for_a = where(ask(command="answer", call_id=call, from_tag="f", to_tag="t", sdp=sdp(b)))
    print(ip, for_a, for_b)
"""


def on(host: str, program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["docker", "exec", f"sipha-{host}", "python3", "-c", program, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


def output(process: subprocess.Popen[str]) -> str:
    text = process.communicate()[0]
    if process.returncode:
        sys.exit("a program in the lab failed; is the lab up (make cluster)?")
    return text


def busy() -> float:
    """Seconds that this machine's cores have worked."""
    ticks = [int(value) for value in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / 100


def run(rate: int, to_a: tuple[str, int], to_b: tuple[str, int]) -> tuple[float, float, int]:
    """Both ends send at half of the rate; returns the share lost, the machine's busy seconds per packet, and the packets that arrived."""
    start = time.time() + 1
    ends = [on(host, END, 20000, *target, rate // 2, SECONDS, start) for (host, _), target in ((A, to_a), (B, to_b))]
    time.sleep(max(0.0, start - 0.1 - time.time()))
    before = busy()
    (sent_a, got_a), (sent_b, got_b) = (map(int, output(end).split()) for end in ends)
    worked = busy() - before
    sent, got = sent_a + sent_b, got_a + got_b
    return 1 - got / sent, worked / got if got else 0.0, int(got / SECONDS)


def main() -> None:
    config = subprocess.run(
        ["docker", "exec", f"sipha-{PROXY}", "cat", "/etc/sipha/agent.json"], capture_output=True, text=True, check=True
    )
    agent = json.loads(config.stdout)
    kind, call = agent["media_kind"], f"benchmark-{time.time_ns()}"
    if kind == "mediaproxy":
        program, more = MEDIAPROXY, []
    elif kind == "rtpengine":
        program, more = RTPENGINE, [agent["media_relays"][0]]
    else:
        sys.exit("the lab has no media relay (sipha_media_relay)")
    best, cost = 0, 0.0
    for rate in RATES:
        lost, base, _ = run(rate, (B[1], 20000), (A[1], 20000))
        if lost > LOSS:
            print(f"{rate} packets/s directly: {lost:.2%} lost, so this machine measures no more", flush=True)
            break
        call += "x"
        ip, for_a, for_b = output(on(PROXY, program, A[1], B[1], call, *more)).split()
        lost, through, arrived = run(rate, (ip, int(for_a)), (ip, int(for_b)))
        output(on(PROXY, program, A[1], B[1], call, *more, "end"))
        print(f"{rate} packets/s through {kind}: {lost:.2%} lost, {(through - base) * 1e6:.1f} us of a core more per packet", flush=True)
        if lost > LOSS:
            break
        best, cost = arrived, through - base
    print(f"| {kind} | {best} packets/s | {1 / cost:,.0f} packets/s |" if cost > 0 else f"| {kind} | {best} packets/s | not measurable |")


if __name__ == "__main__":
    main()
