"""Action plugin host_look: runs the module of that name, which has the documentation, between two looks at the controller's clock, and adds
the controller's own CA."""

from __future__ import annotations

import time
from pathlib import Path
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
        if isinstance(look, dict) and self._task.args.get("pki_dir"):
            look["controller_ca"] = _text(Path(str(self._task.args["pki_dir"])).expanduser() / "ca.pem")
        return result


def _text(path: Path) -> str | None:
    """Empty when there is no such file, None when it can't be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return ""
    except OSError:
        return None
