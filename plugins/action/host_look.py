"""Action plugin host_look: runs the module of that name, which has the documentation, between two looks at the controller's clock."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc]
    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        before = time.monotonic()
        result.update(self._execute_module(module_name="sipha.cluster.host_look", module_args=self._task.args, task_vars=task_vars))
        after = time.monotonic()
        look = result.get("look")
        if isinstance(look, dict) and isinstance(look.get("clock"), dict):
            look["clock"].update(before=before, after=after)
        return result
