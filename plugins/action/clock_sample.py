"""Action plugin clock_sample: see plugins/modules/clock_sample.py for the documentation."""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.sipha.cluster.plugins.module_utils.clock import Sample, offset_interval


class ActionModule(ActionBase):  # type: ignore[misc]
    TRANSFERS_FILES = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset({"samples", "enough"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _unused, options = self.validate_argument_spec(
            argument_spec={"samples": {"type": "int", "default": 10}, "enough": {"type": "float", "default": 0.05}}
        )
        if options["samples"] < 1:
            raise AnsibleActionFail(f"samples is {options['samples']}: set it to 1 or more.")
        samples: list[Sample] = []
        self._ask()  # opens the connection, so that the first sample does not pay for it
        while len(samples) < options["samples"]:
            samples.append(self._ask())
            if offset_interval(samples).uncertainty <= options["enough"]:
                break
        result.update(
            changed=False,
            samples=[list(sample) for sample in samples],
            uncertainty=round(offset_interval(samples).uncertainty, 4),
        )
        return result

    def _ask(self) -> Sample:
        before = time.monotonic()
        answer = self._low_level_execute_command("date +%s.%N", sudoable=False)
        after = time.monotonic()
        try:
            remote = float(answer["stdout"].strip().splitlines()[-1])
        except (ValueError, IndexError):
            raise AnsibleActionFail(
                f"The host does not tell its clock: 'date +%s.%N' ended with code {answer.get('rc')}, "
                f"output {answer.get('stdout', '')!r}, error {answer.get('stderr', '')!r}."
            ) from None
        return before, remote, after
