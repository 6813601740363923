"""Action plugin plan: see plugins/modules/plan.py for the documentation. It starts ansible-playbook --check on the controller."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.sipha.cluster.plugins.filter.topology import _topology as read_topology
from ansible_collections.sipha.cluster.plugins.module_utils.topology.plan import build, missing_groups, only, problems
from ansible_collections.sipha.cluster.plugins.module_utils.topology.plan_text import render
from ansible_collections.sipha.cluster.plugins.plugin_utils.same_call import SameCall
from ansible_collections.sipha.cluster.plugins.plugin_utils.same_call import command as same_command
from ansible_collections.sipha.cluster.plugins.plugin_utils.same_call import environment as same_environment

SITE = Path(__file__).resolve().parents[2] / "playbooks/site.yml"
# What is asserted about a running cluster is not asked of one that has not been changed yet.
SKIPPED_TAG = "check"
TAIL = 30  # lines of its output, when it could not even start


class ActionModule(ActionBase):  # type: ignore[misc]
    TRANSFERS_FILES = False
    _supports_check_mode = True
    _requires_connection = False
    _VALID_ARGS = frozenset({"playbook"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        _unused, options = self.validate_argument_spec(argument_spec={"playbook": {"type": "path"}})
        playbook = Path(options["playbook"] or SITE)
        if not playbook.is_file():
            raise AnsibleActionFail(f"There is no playbook {playbook}.")
        hosts = [str(host) for host in variables.get("ansible_play_hosts_all") or []]
        topology = read_topology(variables["hostvars"], variables["groups"])

        # Where new hosts end the check, the others are looked at without them.
        events = self._check(playbook, None)
        missing = missing_groups(topology, events)
        ended = set(problems(events))
        rest = [host for host in hosts if host not in missing]
        if ended & set(missing) and not ended - set(missing) and rest:
            events = only(events, set(missing)) + self._check(playbook, rest)
        plan = build(topology, events, hosts, playbook.name)
        return {**result, "changed": False, "plan": plan.as_dict(), "text": render(plan)}

    def _check(self, playbook: Path, limit: list[str] | None) -> list[dict[str, Any]]:
        """The events of a check run. What it needs to know secretly goes through files that are ours alone, and are removed."""
        private = Path(tempfile.mkdtemp(prefix="plan-", dir=constants.DEFAULT_LOCAL_TMP))
        try:
            recorded, said = private / "events", private / "output"
            call = SameCall(private, self._play_context, self._loader._vault.secrets)
            command = same_command("--check", "--diff", *call.options(limit, (SKIPPED_TAG,)), str(playbook))
            environment = {
                **same_environment(),
                "SIPHA_PLAN_EVENTS": str(recorded),
                "ANSIBLE_CALLBACKS_ENABLED": "sipha.cluster.plan_events",  # and no other: nothing is told to anybody
            }
            with open(os.open(said, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as output:
                done = subprocess.run(
                    command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
                )
            lines = recorded.read_text(encoding="utf-8").splitlines() if recorded.exists() else []
            events: list[dict[str, Any]] = [json.loads(line) for line in lines]
            if not any(event["kind"] == "stats" for event in events) or (done.returncode and not problems(events)):
                tail = "\n".join(said.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:])
                raise AnsibleActionFail(f"The check run of {playbook} ended with {done.returncode} before it could tell anything:\n{tail}")
            return events
        finally:
            shutil.rmtree(private, ignore_errors=True)
