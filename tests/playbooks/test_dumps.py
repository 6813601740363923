"""The dump from before an upgrade outlives its re-runs: the real backup.yml, with a stand-in for mariadb-dump."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="dumps belong to root")
TODO = ["table version_4_0"]


def role(part: str, **more: Any) -> dict[str, Any]:
    return {"ansible.builtin.include_role": {"name": "sipha.cluster.sip_schema", "tasks_from": part}, **more}


def play(hosts: str, *tasks: dict[str, Any]) -> dict[str, Any]:
    return {"hosts": hosts, "gather_facts": False, "tasks": list(tasks)}


class Databases:
    """Two databases. Names of dumps have seconds; each run takes longer than one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        tool = directory / "bin/mariadb-dump"
        tool.parent.mkdir()
        tool.write_text("#!/bin/sh\necho '-- Dump completed'\n")
        tool.chmod(0o755)
        variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": "/usr/bin/python3",
            "sip_schema_backup_dir": f"{directory}/{{{{ inventory_hostname }}}}",
            "sip_schema_backup_keep": 2,
        }
        inventory = {"all": {"vars": variables, "children": {"databases": {"hosts": {"db1": {}, "db2": {}}}}}}
        (directory / "hosts.yml").write_text(yaml.safe_dump(inventory))

    def run(self, *plays: dict[str, Any]) -> str:
        path = self.directory / "play.yml"
        path.write_text(yaml.safe_dump(list(plays)))
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "COLUMNS": "10000"}
        environment["PATH"] = f"{self.directory / 'bin'}:{environment['PATH']}"
        done = subprocess.run(
            ["ansible-playbook", "-i", str(self.directory / "hosts.yml"), str(path)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
        return " ".join(done.stdout.split())

    def upgrade(self, to: str, todo: list[str], host: str = "db1") -> tuple[str, str]:
        """The part of upgrade_engine.yml that makes a dump: the file that it says is the one, and all that was said."""
        tell = {"ansible.builtin.debug": {"msg": "FILE={{ sip_schema_backup_file }}"}}
        backup = role("backup.yml", vars={"sip_schema_upgrade": {"to": to, "todo": todo}})
        output = self.run(play("databases", role("kept.yml")), play(host, backup, tell))
        return Path(output.split("FILE=")[1].split()[0].strip("'")).name, output

    def dumps(self, host: str = "db1") -> list[str]:
        return sorted(path.name for path in (self.directory / host).glob("*.sql.gz"))


@pytest.fixture
def databases(tmp_path: Path) -> Databases:
    return Databases(tmp_path)


def test_the_dump_from_before_outlives_re_runs(databases: Databases) -> None:
    first, _ = databases.upgrade("4.0", TODO)
    second, _ = databases.upgrade("4.0", TODO)  # cut off before a table was changed: a newer dump is as good
    assert databases.dumps() == [first, second]
    for _ in range(2):
        again, output = databases.upgrade("4.0", [])
        assert again == first
        assert f"{first} on db1; no other is made." in output
    assert databases.dumps() == [first, second]
    again, _ = databases.upgrade("4.0", [], host="db2")  # another one is elected
    assert (again, databases.dumps("db2")) == (first, [])
    back, _ = databases.upgrade("3.6", [])  # the way back is an upgrade of its own
    assert back not in (first, second)
    plain = [role("backup.yml")]
    for _ in range(3):
        databases.run(play("databases", role("kept.yml")), play("db1", *plain))
    there = databases.dumps()
    assert {first, back} < set(there)
    assert (len(there), second in there) == (4, False)
    databases.run(play("databases", role("backup_done.yml")))
    databases.run(play("databases", role("kept.yml")), play("db1", *plain))
    assert len(databases.dumps()) == 2
    assert first not in databases.dumps()


def test_a_dump_that_was_removed_is_made_again(databases: Databases) -> None:
    first, _ = databases.upgrade("4.0", TODO)
    (databases.directory / "db1" / first).unlink()
    second, _ = databases.upgrade("4.0", [])
    assert databases.dumps() == [second] != [first]
    kept = json.loads((databases.directory / "db1/opensips-upgrade.json").read_text())
    assert (kept["to"], kept["host"], [Path(path).name for path in kept["dumps"]]) == ("4.0", "db1", [second])
