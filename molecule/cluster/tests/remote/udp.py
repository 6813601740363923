"""Runs inside a lab host: sends datagrams and prints what comes back. JSON in (argument), JSON out."""

from __future__ import annotations

import base64
import json
import select
import socket
import sys
import time


def main() -> None:
    job = json.loads(sys.argv[1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.bind(tuple(job["source"]))
        replies: list[dict[str, object]] = []

        def listen(seconds: float) -> None:
            end = time.monotonic() + seconds
            while (left := end - time.monotonic()) > 0 or seconds == 0:
                if not select.select([client], [], [], max(0.0, left))[0]:
                    return
                try:
                    data, peer = client.recvfrom(65535)
                except ConnectionError:  # an ICMP error: there is no answer
                    continue
                replies.append({"text": data.decode("utf-8", "replace"), "peer": list(peer), "time": time.time()})
                if job["until"] and len(replies) >= job["until"]:
                    return

        for datagram in job["datagrams"] * job.get("times", 1):
            try:
                client.sendto(base64.b64decode(datagram), tuple(job["target"]))
            except ConnectionError:  # an ICMP error to the one before
                client.sendto(base64.b64decode(datagram), tuple(job["target"]))
            if job["gap"]:
                listen(job["gap"])
        if not job["until"] or len(replies) < job["until"]:
            listen(job["wait"])
        print(json.dumps(replies))


main()
