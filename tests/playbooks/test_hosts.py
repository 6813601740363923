"""validate.yml on seven hosts that are network namespaces of this machine: what a good and a running cluster must not trip, a stranger at
the VIP, mistakes of many hosts at once, hosts that are missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
VIP = "198.18.10.10"
ADDRESSES = {
    "sip1": (11, "proxies"),
    "sip2": (12, "proxies"),
    "db1": (21, "databases"),
    "db2": (22, "databases"),
    "db3": (23, "databases"),
    "relay1": (31, "relays"),
    "relay2": (32, "relays"),
}
# A host name, a machine-id and systemd for everybody who asks inside.
PYTHON = """#!/bin/sh
exec ip netns exec {space} unshare --uts --mount /bin/sh -c '
mount -t tmpfs none /run && mkdir -p /run/systemd/system && echo {machine} > /run/id && mount --bind /run/id /etc/machine-id
hostname {name}
exec {drop} /usr/bin/python3 "$@"' sh "$@"
"""


def sh(command: str) -> str:
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout  # noqa: S602 (a test's own commands)


def possible() -> bool:
    release = Path("/etc/os-release")
    debian = release.exists() and "ID=debian" in release.read_text() and os.path.realpath("/usr/bin/python3") >= "/usr/bin/python3.11"
    if os.geteuid() or not debian or not shutil.which("ip") or not os.path.exists("/proc/sys/net/netfilter/nf_conntrack_acct"):
        return False
    return subprocess.run(["unshare", "--net", "--mount", "--uts", "true"], check=False, capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(not possible(), reason="needs root, Debian 12, network namespaces and connection tracking")


def machine_id(text: str) -> str:
    return text.encode().hex().ljust(32, "0")


class World:
    """A public and a core switch with hosts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.prefix = f"sipha{os.getpid()}"
        self.spaces: list[str] = []
        self.add("switch")
        self.inside(
            "switch", "ip link add public type bridge && ip link add core type bridge && ip link set public up && ip link set core up"
        )
        hosts: dict[str, dict[str, Any]] = {}
        for name, (last, group) in ADDRESSES.items():
            self.add(name)
            self.python(name)
            variables = {"sipha_core_address": f"198.18.20.{last}/24", "ansible_python_interpreter": str(directory / name)}
            self.plug(name, "core", last)
            if group != "databases":
                self.plug(name, "public", last)
                self.inside(name, "ip route add default via 198.18.10.1")
                variables["sipha_public_address"] = f"198.18.10.{last}/24"
            hosts.setdefault(group, {})[name] = variables
        secrets = {f"sipha_secret_{name}": name[0] * 32 for name in ("db_engine", "db_sst", "auth_nonce", "ca_passphrase")}
        self.inventory: dict[str, Any] = {
            "vars": {
                **secrets,
                "ansible_connection": "local",
                "sipha_domain": "sip.example.org",
                "sipha_vips": [{"name": "main", "address": f"{VIP}/24", "router_id": 51, "preferred": ["sip1", "sip2"]}],
                "media_relay_port_range": "40000:40010",
            },
            "children": {group: {"hosts": members} for group, members in hosts.items()},
        }

    def add(self, name: str) -> None:
        sh(f"ip netns add {self.prefix}-{name}")
        self.spaces.append(name)
        self.inside(name, "ip link set lo up")

    def plug(self, name: str, kind: str, last: int) -> None:
        network = {"public": 10, "core": 20}[kind]
        self.inside("switch", f"ip link add {kind}{last} type veth peer name {kind} netns {self.prefix}-{name}")
        self.inside("switch", f"ip link set {kind}{last} master {kind} up")
        self.inside(name, f"ip addr add 198.18.{network}.{last}/24 dev {kind} && ip link set {kind} up")

    def inside(self, name: str, command: str) -> str:
        return sh(f"ip netns exec {self.prefix}-{name} sh -c '{command}'")

    def python(self, name: str, machine: str = "", drop: str = "") -> None:
        path = self.directory / name
        path.write_text(PYTHON.format(space=f"{self.prefix}-{name}", name=name, machine=machine_id(machine or name), drop=drop))
        path.chmod(0o755)

    def host(self, name: str) -> dict[str, Any]:
        return self.inventory["children"][ADDRESSES[name][1]]["hosts"][name]  # type: ignore[no-any-return]

    def validate(self, *options: str) -> tuple[int, str]:
        """validate.yml as site.yml has it: with plays after it."""
        (self.directory / "hosts.yml").write_text(yaml.safe_dump({"all": self.inventory}))
        later = {
            "hosts": "all",
            "gather_facts": False,
            "tasks": [{"ansible.builtin.debug": {"msg": "LATER {{ ansible_facts.interfaces | join(' ') }}"}}],
        }
        plays = [{"ansible.builtin.import_playbook": str(ROOT / "playbooks/validate.yml")}, later]
        (self.directory / "site.yml").write_text(yaml.safe_dump(plays))
        done = subprocess.run(
            ["ansible-playbook", "-i", str(self.directory / "hosts.yml"), str(self.directory / "site.yml"), *options],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "COLUMNS": "10000"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return done.returncode, " ".join((done.stdout + done.stderr).replace("''", "'").split())

    def close(self) -> None:
        for name in self.spaces:
            sh(f"ip netns del {self.prefix}-{name}")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    there = World(tmp_path)
    yield there
    there.close()


def ids(output: str) -> set[str]:
    return set(re.findall(r"LIVE\d+", output))


def test_a_good_cluster_before_and_while_it_runs(world: World) -> None:
    """The holder has the VIP, both have it on loopback, and nobody has anything to say."""
    for command in ("true", f"ip addr add {VIP}/24 dev public"):
        world.inside("sip1", command)
        code, output = world.validate()
        assert code == 0, output
        assert "LATER lo core public" in output
        assert "not judged" not in output
        assert ids(output) == set()
        assert set(re.findall(r"changed=(\d+)", output)) == {"0"}
        for name in ("sip1", "sip2"):
            world.inside(name, f"ip addr replace {VIP}/32 dev lo")


def test_check_mode_looks_too(world: World) -> None:
    world.inside("db3", "ip addr flush dev core")
    code, output = world.validate("--check")
    assert code != 0
    assert "LIVE001 sipha_core_address on db3: no interface has 198.18.20.23" in output


def test_all_mistakes_at_once_before_anything_is_changed(world: World) -> None:
    world.inside("db3", "ip addr flush dev core && ip addr add 198.18.20.99/24 dev core")
    world.inside("db2", "ip addr flush dev core && ip addr add 198.18.20.22/16 dev core")
    world.inside("relay1", f"ip addr add {VIP}/24 dev public")
    world.host("relay2").update(sipha_public_interface="eth7")
    world.host("sip1").update(opensips_shared_memory=2**30)
    world.python("db1", machine="sip1")
    stranger = subprocess.Popen(["ip", "netns", "exec", f"{world.prefix}-sip2", "python3", "-c", LISTEN], stdout=subprocess.PIPE)
    try:
        assert stranger.stdout
        stranger.stdout.readline()
        code, output = world.validate()
    finally:
        stranger.kill()
        stranger.wait()
    assert code != 0
    assert "LATER" not in output
    assert "The hosts have 7 error(s); none has been changed." in output
    for text in (
        "LIVE001 sipha_core_address on db3: no interface has 198.18.20.23; the host has 198.18.20.99/24. Set it to",
        "LIVE002 sipha_public_interface on relay2: there is no interface eth7; there are lo, core, public. Set it to public, or remove it.",
        "LIVE003 sipha_core_address on db2: it says 198.18.20.22/24, the host has 198.18.20.22/16. Set it to 198.18.20.22/16",
        f"LIVE006 sipha_vips on relay1: VIP main {VIP} is on public, and the host is no proxy.",
        f"LIVE008 sipha_vips: VIP main {VIP} is answered by",
        "(relay1), which is no proxy of this cluster",
        "LIVE018 opensips_shared_memory on sip1: 1073741824 MB, and the host has",
        "has udp port 5060. Stop and disable it there, or set opensips_port to a free port.",
        f"warning: LIVE024 /etc/machine-id on sip1: it is {machine_id('sip1')}, like that of db1.",
    ):
        assert text in output, (text, output)


LISTEN = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", 5060)); print("there", flush=True); time.sleep(60)
"""


@pytest.mark.parametrize("holder", [True, False])
def test_a_stranger_answers_for_the_vip(world: World, holder: bool) -> None:
    if holder:
        world.inside("sip1", f"ip addr add {VIP}/24 dev public")
    world.add("stranger")
    world.plug("stranger", "public", 77)
    world.inside("stranger", f"ip addr add {VIP}/24 dev public && ip link set public address 02:00:00:00:00:77")
    code, output = world.validate()
    assert code != 0
    assert f"LIVE008 sipha_vips: VIP main {VIP} is answered by 02:00:00:00:00:77, which is no proxy of this cluster" in output
    code, output = world.validate("--limit", "sip2,db1")
    assert code == 0, output
    assert "LIVE008 could not be judged on sip2: " in output
    world.inventory["vars"]["sipha_waivers"] = {"LIVE008": "the old cluster, off tonight"}
    code, output = world.validate()
    assert code == 0, output
    assert "waived (the old cluster, off tonight): LIVE008" in output


def test_two_holders(world: World) -> None:
    for name in ("sip1", "sip2"):
        world.inside(name, f"ip addr add {VIP}/24 dev public")
    code, output = world.validate()
    assert code != 0
    assert f"LIVE007 sipha_vips: VIP main {VIP} is on sip1 and sip2 at once." in output
    assert ids(output) == {"LIVE007"}


def test_without_the_right_to_ask_the_segment_it_says_so(world: World) -> None:
    for name in ("sip1", "sip2"):
        world.python(name, drop="setpriv --bounding-set=-net_raw")
    code, output = world.validate()
    assert code == 0, output
    assert "not judged: LIVE008 could not be judged on sip1: it can't be asked for on public: Operation not permitted" in output


def test_what_could_not_be_judged_and_why(world: World) -> None:
    """Hosts outside of --limit, and one that does not answer: the run goes on without them, as it did before."""
    world.host("db2").update(ansible_connection="community.docker.docker", ansible_host="sipha-no-such-container")
    code, output = world.validate("--limit", "sip1,db1,db2")
    assert code != 0
    assert "ok: [sip1] => msg: LATER" in output
    assert (
        "not judged: nothing was seen of db2 (no answer), db3 (not in this run), relay1 (not in this run), relay2 (not in this run), "
        "sip2 (not in this run), so no rule was judged there; "
        "LIVE006, LIVE021, LIVE022, LIVE023, LIVE024, LIVE025 compare hosts and were judged without db2, db3, relay1, relay2, sip2; "
        "LIVE007, LIVE008 compare hosts and were judged without sip2"
    ) in output


@pytest.mark.parametrize("alone", [False, True])
def test_a_clock_that_is_off(world: World, alone: bool) -> None:
    (world.directory / "sitecustomize.py").write_text("import time\nnow = time.time\ntime.time = lambda: now() + 300\n")
    world.python("db2", drop=f"env PYTHONPATH={world.directory}")
    world.inventory["vars"]["time_sync_set_clock"] = not alone
    code, output = world.validate()
    name = "LIVE022 time_sync_set_clock" if alone else "warning: LIVE021 time_sync_servers"
    assert (code != 0) == alone, output
    assert re.search(rf"{name} on db2: the clock is (299|300)\.\d s ahead of the others'", output), output
