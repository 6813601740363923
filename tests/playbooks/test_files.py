"""The action `files` by a real ansible-playbook on this machine: what differs is made, what does not is left alone."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]


def run(directory: Path, files: list[dict[str, Any]], *options: str, rc: int = 0) -> dict[str, Any]:
    """The result of one task with these files."""
    task = {"sipha.cluster.files": {"files": files}, "register": "made"}
    tell = {"ansible.builtin.copy": {"dest": str(directory / "made.json"), "content": "{{ made | to_json }}"}, "check_mode": False}
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [{"block": [task], "always": [tell]}]}
    (directory / "play.yml").write_text(yaml.safe_dump([play]))
    done = subprocess.run(
        ["ansible-playbook", "--inventory", "localhost,", str(directory / "play.yml"), *options],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env={**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")},
    )
    assert done.returncode == rc, done.stdout + done.stderr
    return {**json.loads((directory / "made.json").read_text()), "stdout": done.stdout}


@pytest.fixture
def files(tmp_path: Path) -> list[dict[str, Any]]:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/unit.j2").write_text("on {{ inventory_hostname }}\n")
    there = tmp_path / "there"
    return [
        {"dest": str(there), "directory": True},
        {"dest": str(there / "unit"), "template": "unit.j2"},
        {"dest": str(there / "secret name"), "content": "first\n", "mode": "0600", "validate": "grep -q first %s"},
    ]


def test_made_once_and_then_left_alone(tmp_path: Path, files: list[dict[str, Any]]) -> None:
    assert run(tmp_path, files)["changed_files"] == [entry["dest"] for entry in files]
    assert Path(files[1]["dest"]).read_text() == "on localhost\n"
    assert oct(Path(files[2]["dest"]).stat().st_mode & 0o777) == "0o600"
    again = run(tmp_path, files)
    assert (again["changed"], again["changed_files"]) == (False, [])


def test_only_what_differs_is_made_again(tmp_path: Path, files: list[dict[str, Any]]) -> None:
    run(tmp_path, files)
    Path(files[2]["dest"]).chmod(0o644)
    assert run(tmp_path, files)["changed_files"] == [files[2]["dest"]]
    assert oct(Path(files[2]["dest"]).stat().st_mode & 0o777) == "0o600"
    Path(files[1]["dest"]).write_text("another\n")
    assert run(tmp_path, files)["changed_files"] == [files[1]["dest"]]
    assert Path(files[1]["dest"]).read_text() == "on localhost\n"


def test_check_mode_says_it_and_does_nothing(tmp_path: Path, files: list[dict[str, Any]]) -> None:
    run(tmp_path, files)
    Path(files[1]["dest"]).write_text("another\n")
    assert run(tmp_path, files, "--check")["changed_files"] == [files[1]["dest"]]
    assert Path(files[1]["dest"]).read_text() == "another\n"


def test_a_file_that_does_not_validate_replaces_nothing(tmp_path: Path, files: list[dict[str, Any]]) -> None:
    run(tmp_path, files)
    files[2]["content"] = "second\n"
    result = run(tmp_path, files, rc=2)
    assert files[2]["dest"] in result["msg"]
    assert Path(files[2]["dest"]).read_text() == "first\n"


@pytest.mark.parametrize("shows", [True, False])
def test_diff_hides_what_it_is_told_to(tmp_path: Path, files: list[dict[str, Any]], shows: bool) -> None:
    run(tmp_path, files)
    files[2] |= {"content": "first and more\n", "diff": shows}
    assert ("first and more" in run(tmp_path, files, "--diff")["stdout"]) == shows
