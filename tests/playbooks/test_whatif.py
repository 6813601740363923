"""whatif.yml shows its table as it is, and writes JSON to where the caller says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIRST_LINE = "db1, db2, db3, sip1, sip2        -          -              -              -     -"


def whatif(directory: Path, *options: str, **environment: str) -> str:
    command = [
        shutil.which("ansible-playbook") or "ansible-playbook",
        "-i",
        str(ROOT / "inventories/lab"),
        "-e",
        "sipha_media_relay=mediaproxy",
    ]
    variables = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "PWD": str(directory), **environment}
    command += [*options, str(ROOT / "playbooks/whatif.yml")]
    done = subprocess.run(command, env=variables, cwd=directory, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_table_without_colours_and_json_for_machines(tmp_path: Path) -> None:
    output = whatif(tmp_path, "-e", "whatif_json=losses.json", ANSIBLE_NOCOLOR="1")
    assert FIRST_LINE in output.splitlines()
    assert "\x1b" not in output
    losses = json.loads((tmp_path / "losses.json").read_text())
    assert {loss["kind"] for loss in losses} == {"host", "network", "pair"}
    assert not [loss for loss in losses if loss["kind"] == "host" and "stops" in loss["effects"].values()]


def test_colours_where_ansible_has_them_and_check_mode(tmp_path: Path) -> None:
    output = whatif(tmp_path, "--check", "-e", f"whatif_json={tmp_path}/losses.json", ANSIBLE_FORCE_COLOR="1", ANSIBLE_NOCOLOR="")
    assert "\x1b[1;31mSTOPS\x1b[0m" in output
    assert not list(tmp_path.iterdir())
