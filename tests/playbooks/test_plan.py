"""plan.yml by a real ansible-playbook, on a small playbook in the manner of site.yml: it tells, and it changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_bad_input import GOOD

ROOT = Path(__file__).resolve().parents[2]
SECRET, VAULTED, PASSWORD = "geheim-1", "geheim-2", "geheim-3"
SITE = """
- name: A little site
  hosts: proxies:databases
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - name: Install | What is there
      ansible.builtin.set_fact:
        __packages_known: "{{ [] if inventory_hostname == little_new | default('') else little_known }}"
      vars:
        little_known: [installed/opensips, installed/mariadb-server]
    - name: Configure | Write
      sipha.cluster.files:
        files:
          - {dest: "{{ little }}/{{ inventory_hostname }}", directory: true}
          - dest: "{{ little }}/{{ inventory_hostname }}/settings"
            content: "one\\n{{ little_secret | default('') }}{{ little_vaulted }}\\n"
    - name: Configure | Needs what is installed
      ansible.builtin.fail:
        msg: there is no such service
      when: inventory_hostname == little_fails | default('')
    - name: Run | What the engine reads
      ansible.builtin.set_fact:
        unit_watched: {name: opensips.service, files: ["{{ little }}/{{ inventory_hostname }}"], stale: false}
      when: "'proxies' in group_names"
    - name: Run | A command
      ansible.builtin.command: "touch {{ little }}/touched"
      changed_when: true
      tags: [command]
    - name: Look | The process list
      ansible.builtin.shell: "ps axww -o args | grep '[p]laybook --check' || true"
      register: little_processes
      changed_when: false
      check_mode: false
      run_once: true
    - name: Look | Keep it
      ansible.builtin.copy:
        content: "{{ little_processes.stdout }}"
        dest: "{{ little }}.processes"
        mode: "0600"
      check_mode: false
      changed_when: false
      run_once: true
    - name: Run | Mark
      ansible.builtin.group_by:
        key: sipha_restart_none
      changed_when: false
- name: Judge what was changed
  hosts: databases
  gather_facts: false
  tasks:
    - name: Check | Not in a plan
      ansible.builtin.fail:
        msg: this judges a cluster that has been changed
  tags: [check]
"""


class Little:
    """A small cluster whose hosts are all this machine."""

    def __init__(self, directory: Path) -> None:
        self.root, self.local = directory / "little", directory / "local"
        self.json, self.site, self.inventory = directory / "plan.json", directory / "site.yml", directory / "hosts.yml"
        for made in (self.root, self.local):
            made.mkdir()
        (self.root / "sip1").mkdir()
        (self.root / "sip1/settings").write_text("one\nold\n")
        self.site.write_text(SITE)
        (directory / "password").write_text(PASSWORD)
        (directory / "vars.yml").write_text(f"little_vaulted: {VAULTED}\n")
        self.vault = ["--vault-id", f"mine@{directory / 'password'}"]
        self.command("ansible-vault", "encrypt", *self.vault, str(directory / "vars.yml"))
        self.vault += ["-e", f"@{directory / 'vars.yml'}"]
        hosts = {
            "proxies": {
                f"sip{i}": {"sipha_public_address": f"198.18.10.1{i}/24", "sipha_core_address": f"198.18.20.1{i}/24"} for i in (1, 2)
            },
            "databases": {"db1": {"sipha_core_address": "198.18.20.21/24"}},
        }
        variables = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}", "little": str(self.root)}
        children = {group: {"hosts": members} for group, members in hosts.items()}
        self.inventory.write_text(yaml.safe_dump({"all": {"vars": variables, "children": children}}))

    def command(self, *words: str, **environment: str) -> tuple[int, str]:
        variables = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_LOCAL_TEMP": str(self.local), "COLUMNS": "10000"}
        done = subprocess.run(words, cwd=ROOT, env={**variables, **environment}, capture_output=True, text=True, check=False, timeout=240)
        return done.returncode, " ".join((done.stdout + done.stderr).split())  # as it is wrapped depends on the length of paths

    def plan(self, *options: str, playbook: str = "playbooks/plan.yml") -> tuple[int, str]:
        given = ["-i", str(self.inventory), "-e", f"plan_playbook={self.site}", "-e", f"plan_json={self.json}", *self.vault]
        return self.command("ansible-playbook", *given, *options, playbook)

    def picture(self) -> dict[str, tuple[float, str]]:
        """Every file below, with time and content."""
        return {str(p): (p.stat().st_mtime_ns, p.read_text() if p.is_file() else "") for p in sorted(self.root.rglob("*"))}

    @property
    def found(self) -> dict[str, Any]:
        return json.loads(self.json.read_text())  # type: ignore[no-any-return]


@pytest.fixture
def little(tmp_path: Path) -> Little:
    return Little(tmp_path)


def test_it_tells_and_changes_nothing_and_keeps_secrets(little: Little) -> None:
    before = little.picture()
    code, output = little.plan("-e", f"little_secret={SECRET}")
    assert code == 0, output
    assert little.picture() == before
    assert "site.yml would change 3 of 3 hosts. Nothing was changed by looking." in output
    assert f"file {little.root}/sip1/settings (+1 -1)" in output
    assert f"1. sip1: opensips restarts ({little.root}/sip1/settings)" in output
    assert "A command (a command, not run by a check)" in output
    assert little.found["complete"]
    assert [(step["host"], step["action"]) for step in little.found["steps"]] == [("sip1", "restart"), ("sip2", "restart")]
    processes = Path(f"{little.root}.processes").read_text()
    assert "--check" in processes  # the look is seen itself
    for secret in (SECRET, VAULTED, PASSWORD):
        assert secret not in processes + output + little.json.read_text()
    assert not list(little.local.iterdir())  # nor is anything left of the files with them


def test_in_a_playbook_and_its_secret_files_are_gone_at_once(little: Little, tmp_path: Path) -> None:
    """Ansible removes its temporary directory itself, but only when all is over."""
    look = {"sipha.cluster.plan": {"playbook": str(little.site)}, "register": "look", "run_once": True}
    find = {"ansible.builtin.command": f"find {little.local} -path '*/plan-*'", "register": "left", "run_once": True}
    judge = {
        "ansible.builtin.assert": {"that": ["look.plan.complete", "look.plan.steps | length == 2", "left.stdout == ''"]},
        "run_once": True,
    }
    play = {"hosts": "proxies:databases", "gather_facts": False, "tasks": [look, find, judge]}
    (tmp_path / "ask.yml").write_text(yaml.safe_dump([play]))
    code, output = little.command("ansible-playbook", "-i", str(little.inventory), *little.vault, str(tmp_path / "ask.yml"))
    assert code == 0, output


def test_after_the_real_run_there_is_nothing_to_change(little: Little) -> None:
    """The control: the same playbook does change what the plan left alone."""
    before = little.picture()
    code, output = little.command(
        "ansible-playbook", "-i", str(little.inventory), *little.vault, "--skip-tags", "check,command", str(little.site)
    )
    assert code == 0, output
    assert VAULTED in little.picture()[f"{little.root}/sip1/settings"][1]
    assert little.picture() != before
    code, output = little.plan("--skip-tags", "command")
    assert code == 0, output
    assert "site.yml: nothing to change." in output
    assert (little.found["changes"], little.found["complete"]) == (False, True)


def test_limit_and_tags_are_those_of_the_run(little: Little) -> None:
    code, output = little.plan("--limit", "sip2", "--tags", "command", playbook="sipha.cluster.plan")
    assert code == 0, output
    assert list(little.found["hosts"]) == ["sip2"]
    assert [change["what"] for change in little.found["hosts"]["sip2"]["changes"]] == ["A command"]


def test_a_host_where_the_run_would_end(little: Little) -> None:
    code, output = little.plan("-e", "little_fails=db1")
    assert code != 0
    assert "db1, A little site, Configure | Needs what is installed: there is no such service" in output
    assert "The plan is not whole: db1 ended the check" in output
    assert little.found["problems"][0]["host"] == "db1"
    assert not little.found["complete"]


def test_a_new_host_does_not_hide_the_others(little: Little) -> None:
    code, output = little.plan("-e", "little_fails=db1", "-e", "little_new=db1")
    assert code == 0, output
    assert "db1: databases is new: everything is installed and started" in output
    assert "1. sip1: opensips restarts" in output
    assert little.found["hosts"]["db1"]["new"]


def test_a_playbook_that_is_none(little: Little) -> None:
    little.site.write_text("- hosts: proxies\n  no_such_key: true\n")
    code, output = little.plan()
    assert code != 0
    assert "no_such_key" in output


def test_the_real_site_on_hosts_that_nobody_reaches(little: Little) -> None:
    away = yaml.safe_load(yaml.safe_dump(GOOD))
    away["all"]["vars"] |= {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    little.inventory.write_text(yaml.safe_dump(away))
    code, output = little.command("ansible-playbook", "-i", str(little.inventory), "playbooks/plan.yml")
    assert code != 0
    assert "The check ended here, and what comes after it is not known:" in output
    assert "db1, db2, db3, relay1, relay2, sip1, sip2, Look at the hosts, Hosts | Look at each: unreachable:" in output


def test_the_real_site_with_a_bad_inventory(little: Little) -> None:
    bad = yaml.safe_load(yaml.safe_dump(GOOD))
    bad["all"]["children"]["databases"]["hosts"].pop("db3")
    little.inventory.write_text(yaml.safe_dump(bad))
    code, output = little.command("ansible-playbook", "-i", str(little.inventory), "playbooks/plan.yml")
    assert code != 0
    assert "DB001" in output


def test_an_inventory_without_a_cluster() -> None:
    done = subprocess.run(
        ["ansible-playbook", "-i", "a,", "playbooks/plan.yml"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode != 0
    assert "there is nothing to plan" in done.stdout
