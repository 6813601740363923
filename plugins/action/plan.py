"""Action plugin plan: see plugins/modules/plan.py for the documentation. It starts ansible-playbook --check on the controller."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ansible import constants, context
from ansible.errors import AnsibleActionFail
from ansible.parsing.splitter import parse_kv
from ansible.plugins.action import ActionBase
from ansible_collections.sipha.cluster.plugins.filter.topology import _topology as read_topology
from ansible_collections.sipha.cluster.plugins.module_utils.topology.plan import build, missing_groups, only, problems
from ansible_collections.sipha.cluster.plugins.module_utils.topology.plan_text import render

SITE = Path(__file__).resolve().parents[2] / "playbooks/site.yml"
# What is asserted about a running cluster is not asked of one that has not been changed yet.
SKIPPED_TAG = "check"
# Options of this ansible-playbook that the other one gets too: name in CLIARGS -> option.
WITH_VALUE = {
    "forks": "--forks",
    "connection": "--connection",
    "remote_user": "--user",
    "private_key_file": "--private-key",
    "timeout": "--timeout",
    "become_method": "--become-method",
    "become_user": "--become-user",
    "ssh_common_args": "--ssh-common-args",
    "sftp_extra_args": "--sftp-extra-args",
    "scp_extra_args": "--scp-extra-args",
    "ssh_extra_args": "--ssh-extra-args",
}
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
            command = [sys.executable, "-m", "ansible", "playbook", "--check", "--diff", *self._options(private, limit), str(playbook)]
            environment = {
                **os.environ,
                "SIPHA_PLAN_EVENTS": str(recorded),
                "ANSIBLE_CALLBACKS_ENABLED": "sipha.cluster.plan_events",  # and no other: nothing is told to anybody
                "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
                "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(constants.COLLECTIONS_PATHS),
                "ANSIBLE_RETRY_FILES_ENABLED": "0",
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_FORCE_COLOR": "0",
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

    def _options(self, private: Path, limit: list[str] | None) -> list[str]:
        """As this ansible-playbook was called."""
        given = context.CLIARGS
        options: list[str] = []
        for source in given.get("inventory") or ():
            options += ["--inventory", str(source)]
        subset = ",".join(limit) if limit is not None else given.get("subset")
        if subset:
            options += ["--limit", str(subset)]
        for path in given.get("module_path") or ():
            options += ["--module-path", str(path)]
        for name, option in WITH_VALUE.items():
            if given.get(name):
                options += [option, str(given[name])]
        if given.get("become"):
            options.append("--become")
        for tag in given.get("tags") or ():
            options += ["--tags", str(tag)]
        for tag in [*(given.get("skip_tags") or ()), SKIPPED_TAG]:
            options += ["--skip-tags", str(tag)]
        for number, text in enumerate(given.get("extra_vars") or ()):
            options += ["--extra-vars", self._extra_vars(str(text), private / f"vars-{number}")]
        return options + self._secrets(private)

    def _extra_vars(self, text: str, path: Path) -> str:
        """@FILE. What was not given as a file becomes one, so that nobody reads it in the process list."""
        if text.startswith("@"):
            return text
        return "@" + self._keep(path, text if text[:1] in "{[" else json.dumps(parse_kv(text)))

    def _secrets(self, private: Path) -> list[str]:
        """Passwords that were asked for, or read: not asked again."""
        options = []
        for number, (identity, secret) in enumerate(self._loader._vault.secrets or ()):
            path = self._keep(private / f"vault-{number}", secret.bytes)
            options += ["--vault-id", f"{identity or constants.DEFAULT_VAULT_IDENTITY}@{path}"]
        for option, value in (("connection", self._play_context.password), ("become", self._play_context.become_pass)):
            if value:
                options += [f"--{option}-password-file", self._keep(private / option, str(value))]
        return options

    @staticmethod
    def _keep(path: Path, content: str | bytes) -> str:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(content.encode() if isinstance(content, str) else content)
        return str(path)
