"""Action plugin show: see plugins/modules/show.py for the documentation."""

from __future__ import annotations

import re
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.color import ANSIBLE_COLOR
from ansible.utils.display import Display


class ActionModule(ActionBase):  # type: ignore[misc]
    _supports_check_mode = True
    _VALID_ARGS = frozenset({"text"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _unused, options = self.validate_argument_spec(argument_spec={"text": {"type": "str", "required": True}})
        text = options["text"]
        Display().display(text if ANSIBLE_COLOR else re.sub(r"\x1b\[[0-9;]*m", "", text))
        return {**result, "changed": False}
