"""Callback plugin plan_events: what a check run found, one JSON object a line, for sipha.cluster.plan."""

from __future__ import annotations

DOCUMENTATION = r"""
name: plan_events
type: notification
short_description: Records a check run for the action M(sipha.cluster.plan)
version_added: 0.1.0
author: The sipha.cluster founders (@sipha)
description:
  - Writes what every task did, or would have done, to a file that its owner alone can read.
  - Of the results it keeps what a plan needs (paths, names of units and packages, numbers of changed lines), never the content of files.
  - M(sipha.cluster.plan) enables it in the run that it starts; there is no use for it elsewhere.
options:
  path:
    description: The file. Without it nothing is recorded.
    type: path
    env: [{name: SIPHA_PLAN_EVENTS}]
requirements: [enabled by M(sipha.cluster.plan)]
"""

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible_collections.sipha.cluster.plugins.module_utils.topology.recorded import extract


class CallbackModule(CallbackBase):  # type: ignore[misc]
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "sipha.cluster.plan_events"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._play = ""

    def _write(self, **event: Any) -> None:
        path = self.get_option("path")
        if path:
            with open(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a", encoding="utf-8") as out:
                out.write(json.dumps(event, default=str) + "\n")

    def _task(self, result: Any, status: str) -> None:
        task, fields = result._task, getattr(result, "_task_fields", None) or {}
        role = task._role.get_name() if getattr(task, "_role", None) else ""
        event = {
            "kind": "task",
            "host": result._host.get_name(),
            "play": self._play,
            "role": role.rsplit(".", 1)[-1],
            "task": str(fields.get("name") or task.get_name()),
            "action": str(task.action),
            "delegate": str(fields.get("delegate_to") or ""),
        }
        never = list(task.changed_when or []) == [False]
        for part in extract(event["action"], status, result._result, never):
            self._write(**event, **part)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._play = str(play.get_name())
        self._write(kind="play", play=self._play)

    def v2_runner_on_ok(self, result: Any) -> None:
        self._task(result, "changed" if result._result.get("changed") else "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._task(result, "ignored" if ignore_errors else "failed")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._task(result, "unreachable")

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._task(result, "skipped")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._write(kind="stats", hosts={host: stats.summarize(host) for host in sorted(stats.processed)})
