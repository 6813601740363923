"""Stand-ins for ip, systemctl and sipha-health on a host of proxy_world.py. Run by path, on the host."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from pathlib import Path
from typing import Any

WORLD, HOST = Path(os.environ.get("WORLD", ".")), os.environ.get("HOST", "")


def out_of_service(host: str) -> bool:
    return (WORLD / host / "etc/sipha/maintenance").exists()


def move(state: dict[str, Any]) -> None:
    """As keepalived: a VIP leaves a dead proxy, and one that is out of service where another is not; else it stays."""
    names = sorted(path.name for path in WORLD.glob("sip*") if path.is_dir())
    alive = [name for name in names if name not in state["dead"]]
    free = [name for name in alive if not out_of_service(name) and name not in state["stuck"]]
    for vip, holder in state["holders"].items():
        gone = holder in state["dead"]
        if (gone or out_of_service(holder)) and vip not in state["stuck"]:
            state["holders"][vip] = (free or ([] if not gone else alive) or [holder])[0]


def main() -> int:
    tool, *words = sys.argv[1:]
    with (WORLD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = json.loads((WORLD / "world.json").read_text())
        said = " ".join([HOST, {"sipha-health": "health"}.get(tool, tool), *(word for word in words if not word.startswith("-"))])
        happens = state["script"].pop(said, {})
        for kind in ("dead", "stuck"):
            state[kind] += happens.get(kind, [])
        state["holders"] |= happens.get("holders", {})
        move(state)
        held = sorted(vip for vip, holder in state["holders"].items() if holder == HOST)
        if tool == "systemctl" and words[0] == "restart":
            state["log"].append(f"{HOST} restarts {words[-1].removesuffix('.service')} with {', '.join(held) or 'no VIP'}")
        (WORLD / "world.json").write_text(json.dumps(state))
    if tool == "ip" and "-j" not in words:  # as facts are gathered
        own = [*state["own"][HOST], *state["addresses"].values()]
        print("\n".join(f"    inet {address}/24 scope global public" for address in own) if words[:2] == ["addr", "show"] else "")
    elif tool == "ip":
        carried = [{"local": state["addresses"][vip]} for vip in held]
        print(json.dumps([{"ifname": "lo", "addr_info": []}, {"ifname": "public", "addr_info": carried}]))
    elif tool == "sipha-canary":
        print(state.get("canary", "")[2:])
        return int(state.get("canary", "0")[0])
    elif tool == "systemctl":
        print("LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nId=x")
    else:
        print(f"{words[-1]}: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
