"""Runs inside a lab host: which of these TCP addresses accept a connection within a second? JSON in (argument), JSON out."""

from __future__ import annotations

import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor


def accepts(target: list[object]) -> bool:
    try:
        with socket.create_connection((str(target[0]), int(str(target[1]))), 1):
            return True
    except OSError:
        return False


def main() -> None:
    targets = json.loads(sys.argv[1])
    with ThreadPoolExecutor(max_workers=32) as pool:
        print(json.dumps([target for target, yes in zip(targets, pool.map(accepts, targets), strict=True) if yes]))


main()
