"""A table that an engine has not read is read at the next run: the real reload_data.yml, and what answers at the engine's socket."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from proxy_world import World, possible

pytestmark = pytest.mark.skipif(not possible(), reason="needs root and mount namespaces with overlayfs")
RELOAD: list[dict[str, Any]] = [
    {
        "hosts": "sip1",
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.include_role": {"name": "sipha.cluster.topology"}},
            {
                "ansible.builtin.include_role": {"name": "sipha.cluster.opensips", "tasks_from": "reload_data.yml"},
                "vars": {"opensips_tables": "{{ told }}"},
            },
        ],
    }
]
ENGINE = """
import json, os, socket
engine = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
engine.bind("/run/opensips/socket")
print("there", flush=True)
while True:
    data, asker = engine.recvfrom(65535)
    command = json.loads(data)["method"]
    bad = os.path.exists("/run/opensips/refuse_" + command)
    print(command, "refused" if bad else "done", file=open("/run/opensips/asked", "a"))
    answer = {"error": {"message": "no database"}} if bad else {"result": "OK"}
    engine.sendto(json.dumps(answer).encode(), asker)
"""


class Engine:
    def __init__(self, world: World) -> None:
        self.world = world

    def asked(self) -> list[str]:
        """Since the last time."""
        path = self.world.file("sip1", "run/opensips/asked")
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def told(self, **tables: str) -> tuple[int, int, list[str]]:
        """A run that tells it: exit code, tasks that changed something, what it was asked."""
        code, output = self.world.play(RELOAD, told=tables)
        return code, int(output.split("changed=")[-1].split()[0]), self.asked()


@contextmanager
def engine(world: World) -> Iterator[Engine]:
    process = subprocess.Popen([world.directory / "python-sip1", "-c", ENGINE], stdout=subprocess.PIPE)
    try:
        assert process.stdout
        assert process.stdout.readline() == b"there\n"
        yield Engine(world)
    finally:
        process.kill()
        process.wait(10)
        world.file("sip1", "run/opensips/socket").unlink()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, {"main": "sip1"}, proxies=2)


def test_a_reload_that_failed_is_made_up_for_and_then_nothing_changes(world: World) -> None:
    refuse = world.file("sip1", "run/opensips/refuse_address_reload")
    with engine(world) as one:
        assert one.told(domain="d1", address="a1") == (0, 2, ["domain_reload done", "address_reload done"])
        assert one.told(domain="d1", address="a1") == (0, 0, [])
        refuse.touch()
        code, _, asked = one.told(domain="d1", address="a2", dispatcher="g1")
        assert (code != 0, asked) == (True, ["address_reload refused", "ds_reload done"])
        refuse.unlink()
        assert one.told(domain="d1", address="a2", dispatcher="g1") == (0, 2, ["address_reload done", "ds_reload done"])
        assert one.told(domain="d1", address="a2") == (0, 0, [])


def test_an_engine_that_does_not_run_reads_them_when_it_starts(world: World) -> None:
    code, output = world.play(RELOAD, told={"domain": "d1"})
    assert code == 0, output[-3000:]
    with engine(world) as one:
        assert one.told(domain="d1") == (0, 0, [])
        assert one.told(domain="d2") == (0, 2, ["domain_reload done"])
