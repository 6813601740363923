"""Proxies that are directories of this machine: each has its own /etc/opensips, /etc/sipha, /run/opensips, /run/sipha and
/var/lib/sipha, and stand-ins for what a playbook asks: ip, systemctl, sipha-health, sipha-canary. VIPs move as keepalived would move
them. No network, no engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.sipha.cluster.plugins.module_utils.release import Store
from test_bad_input import GOOD

ROOT = Path(__file__).resolve().parents[2]
OWN = ("etc/opensips", "etc/sipha", "run/opensips", "run/sipha", "var/lib/sipha")
# Everything below is the host's own; what else is written goes to memory and is gone with the process.
PYTHON = """#!/bin/sh
exec unshare --mount /bin/sh -c '
set -e
mkdir -p {home}/memory
mount -t tmpfs none {home}/memory
for place in etc usr/sbin var/lib; do
    mkdir -p {home}/memory/$place.new {home}/memory/$place.work
    mount -t overlay overlay -o lowerdir=/$place,upperdir={home}/memory/$place.new,workdir={home}/memory/$place.work /$place
done
mount -t tmpfs none /run
for place in {own}; do mkdir -p /$place {home}/$place; mount --bind {home}/$place /$place; done
echo "opensips:x:64999:" >> /etc/group
cp --remove-destination {home}/bin/sipha-* /usr/sbin/
export PATH={home}/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec /usr/bin/python3 "$@"' sh "$@"
"""
CODE = Path(__file__).resolve().parent / "proxy_world_tools.py"
TOOLS = ("ip", "systemctl", "sipha-health", "sipha-canary")


def possible() -> bool:
    if os.geteuid() or not shutil.which("unshare"):
        return False
    inner = "mount -t tmpfs none /mnt && mkdir /mnt/a /mnt/b && mount -t overlay o -o lowerdir=/etc,upperdir=/mnt/a,workdir=/mnt/b /etc"
    return subprocess.run(["unshare", "--mount", "sh", "-c", inner], check=False, capture_output=True).returncode == 0


class World:
    """Some proxies. `script` says what happens meanwhile: {"sip2 health air": {"dead": ["sip1"]}} is done at that call, once.
    What is dead holds no VIP, what is stuck (a proxy, or a VIP) takes part in no move."""

    def __init__(self, directory: Path, vips: dict[str, str], proxies: int = 3) -> None:
        self.directory, self.names = directory, [f"sip{number}" for number in range(1, proxies + 1)]
        self.state = directory / "world.json"
        addresses = {name: f"198.18.10.{10 * number}" for number, name in enumerate(vips, 1)}
        own = {name: [f"198.18.10.1{number}", f"198.18.20.1{number}"] for number, name in enumerate(self.names, 1)}
        self.save({"addresses": addresses, "own": own, "holders": vips, "dead": [], "stuck": [], "script": {}, "log": []})
        hosts: dict[str, Any] = {}
        for number, name in enumerate(self.names, 1):
            python = directory / f"python-{name}"
            python.write_text(PYTHON.format(own=" ".join(OWN), home=directory / name))
            python.chmod(0o755)
            (directory / name / "bin").mkdir(parents=True)
            for tool in TOOLS:
                stand_in = directory / name / "bin" / tool
                stand_in.write_text(f'#!/bin/sh\nexec env WORLD={directory} HOST={name} /usr/bin/python3 {CODE} {tool} "$@"\n')
                stand_in.chmod(0o755)
            for place in OWN:
                (directory / name / place).mkdir(parents=True)
            store = Store(str(directory / name / "etc/opensips"), "root", "root")
            store.activate(store.install({"opensips.cfg": b"# a script\n"}, "12345678, OpenSIPS 3.6").id, "a test")
            hosts[name] = {
                "ansible_connection": "local",
                "ansible_python_interpreter": str(python),
                "sipha_public_address": f"198.18.10.1{number}/24",
                "sipha_core_address": f"198.18.20.1{number}/24",
                "sipha_public_interface": "public",
                "sipha_core_interface": "core",
            }
        inventory = json.loads(json.dumps(GOOD))
        inventory["all"]["vars"]["sipha_vips"] = [
            {"name": name, "address": f"{address}/24", "router_id": 50 + number, "preferred": [vips[name]]}
            for number, (name, address) in enumerate(addresses.items(), 1)
        ]
        inventory["all"]["children"]["proxies"]["hosts"] = hosts
        (directory / "hosts.yml").write_text(yaml.safe_dump(inventory))

    def look(self) -> dict[str, Any]:
        return json.loads(self.state.read_text())  # type: ignore[no-any-return]

    def save(self, state: dict[str, Any]) -> None:
        self.state.write_text(json.dumps(state))

    def change(self, **changes: Any) -> None:
        self.save({**self.look(), **changes})

    @property
    def log(self) -> list[str]:
        return list(self.look()["log"])

    def file(self, host: str, path: str) -> Path:
        return self.directory / host / path.lstrip("/")

    def left(self) -> list[str]:
        """What a run leaves behind when it does not end."""
        paths = ("etc/sipha/maintenance", "etc/opensips/releases/upgrade.json")
        return [f"{name}: {path}" for name in self.names for path in paths if self.file(name, path).exists()]

    def play(self, playbook: str | list[dict[str, Any]], *options: str, **variables: Any) -> tuple[int, str]:
        path = ROOT / "playbooks" / f"{playbook}.yml"
        if not isinstance(playbook, str):
            path = self.directory / "play.yml"
            path.write_text(yaml.safe_dump(playbook))
        given = ["-i", str(self.directory / "hosts.yml"), "-e", json.dumps(variables), *options, str(path)]
        done = subprocess.run(
            ["ansible-playbook", *given],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "COLUMNS": "10000"},
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
        )
        return done.returncode, " ".join((done.stdout + done.stderr).split())
