"""Action plugin nested: see plugins/modules/nested.py for the documentation. It starts ansible-playbook on the controller."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible_collections.sipha.cluster.plugins.plugin_utils.same_call import SameCall, command, environment, keep

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
RECAP = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)\s", re.MULTILINE)
TAIL = 40


class ActionModule(ActionBase):  # type: ignore[misc]
    TRANSFERS_FILES = False
    _supports_check_mode = False
    _requires_connection = False
    _VALID_ARGS = frozenset({"playbook", "variables", "without"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        spec = {
            "playbook": {"type": "str", "required": True},
            "variables": {"type": "dict", "default": {}},
            "without": {"type": "list", "elements": "str", "default": []},
        }
        _unused, given = self.validate_argument_spec(argument_spec=spec)
        playbook = PLAYBOOKS / given["playbook"]
        if not playbook.is_file():
            return {**result, "failed": True, "msg": f"There is no playbook {playbook}."}
        private = Path(tempfile.mkdtemp(prefix="nested-", dir=constants.DEFAULT_LOCAL_TMP))
        try:
            call = SameCall(private, self._play_context, self._loader._vault.secrets)
            options = call.options(without=tuple(given["without"]))
            if given["variables"]:
                options += ["--extra-vars", "@" + keep(private / "variables.json", json.dumps(given["variables"]))]
            begun = time.time()
            done = subprocess.run(
                command(*options, str(playbook)),
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
            )
        finally:
            shutil.rmtree(private, ignore_errors=True)
        changed = {host: int(count) for host, count in RECAP.findall(done.stdout)}
        return {
            **result,
            "rc": done.returncode,
            "begun": begun,
            "ended": time.time(),
            "changed": any(changed.values()),
            "changes": sum(changed.values()),
            "hosts": {host: count for host, count in changed.items() if count},
            "output": "\n".join(done.stdout.splitlines()[-TAIL:]),
            "failed": done.returncode != 0,
            **({"msg": f"{playbook.name} ended with {done.returncode}"} if done.returncode else {}),
        }
