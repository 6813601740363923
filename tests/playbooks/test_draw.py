"""draw.yml writes three files, only once, also for an inventory with errors, and says what is missing without graphviz."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "inventories/lab"


def draw(*options: str, path: str = "", inventory: str = str(LAB)) -> tuple[int, str]:
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    environment["PATH"] = path or os.environ["PATH"]
    command = [shutil.which("ansible-playbook") or "ansible-playbook", "-i", inventory, str(ROOT / "playbooks/draw.yml"), *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.mark.skipif(not shutil.which("dot"), reason="the command dot is missing: tools/bootstrap.sh installs graphviz")
def test_three_files_once_and_errors_in_red(tmp_path: Path) -> None:
    options = ("-e", f"draw_directory={tmp_path}/new", "-e", "sipha_time_sync=sundial")
    code, output = draw(*options)
    assert code == 0, output
    assert f"The picture is in {tmp_path}/new:" in output
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["topology.dot", "topology.mmd", "topology.svg"]
    assert all("INV005" in path.read_text() for path in (tmp_path / "new").iterdir())
    code, output = draw(*options)
    assert code == 0, output
    assert "changed=0" in output


def test_without_graphviz_it_says_what_to_install(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for folder in os.environ["PATH"].split(":"):
        for program in Path(folder).glob("*") if Path(folder).is_dir() else ():
            if program.name != "dot" and not (programs / program.name).is_symlink():
                (programs / program.name).symlink_to(program)
    code, output = draw("-e", f"draw_directory={tmp_path}/new", path=str(programs))
    assert code != 0
    assert "Install the Debian package graphviz" in output
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["topology.dot", "topology.mmd"]


def test_an_inventory_without_a_directory() -> None:
    code, output = draw(inventory="a,b,")
    assert code != 0
    assert "Set -e draw_directory=DIR" in output
