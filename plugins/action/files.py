"""Action plugin files: see plugins/modules/files.py for the documentation."""

from __future__ import annotations

import shlex
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader
from ansible_collections.sipha.cluster.plugins.module_utils.host_files import FILE, LOOK, Wanted, differs, parse_look, wanted

ENTRY = {
    "dest": {"type": "str", "required": True},
    "template": {"type": "str"},
    "copy": {"type": "str"},
    "content": {"type": "str"},
    "directory": {"type": "bool", "default": False},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str"},
    "validate": {"type": "str"},
    "diff": {"type": "bool", "default": True},
}


class ActionModule(ActionBase):  # type: ignore[misc]
    TRANSFERS_FILES = True
    _supports_check_mode = True
    _VALID_ARGS = frozenset({"files"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _unused, options = self.validate_argument_spec(
            argument_spec={"files": {"type": "list", "elements": "dict", "required": True, "options": ENTRY}}
        )
        try:
            files = [wanted(entry, self._text(entry, task_vars)) for entry in options["files"]]
        except ValueError as error:
            raise AnsibleActionFail(str(error)) from None
        there = self._look(files)
        result.update(changed=False, changed_files=[], diff=[])
        for file in files:
            if not differs(file, there.get(file.dest)):
                continue
            done = self._make(file, task_vars)
            if done.get("failed"):
                return {**result, **done, "failed": True, "msg": f"{file.dest}: {done.get('msg', 'not written')}"}
            if done.get("changed"):
                result["changed"] = True
                result["changed_files"].append(file.dest)
                diff = done.get("diff") or []
                result["diff"].extend({"before_header": file.dest, **one} for one in (diff if isinstance(diff, list) else [diff]) if one)
        return result

    def _text(self, entry: dict[str, Any], task_vars: dict[str, Any]) -> str | None:
        """What is to be in the file; None for a directory."""
        if entry["template"]:
            lookup = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
            return str(lookup.run([entry["template"]], variables=task_vars)[0])
        if entry["copy"]:
            return str(self._loader.get_text_file_contents(self._find_needle("files", entry["copy"])))
        return None if entry["content"] is None else str(entry["content"])

    def _look(self, files: list[Wanted]) -> dict[str, str]:
        answer = self._low_level_execute_command(f"for path in {' '.join(shlex.quote(f.dest) for f in files)}; do {LOOK}; done")
        if answer.get("rc") != 0:
            raise AnsibleActionFail(f"The host does not tell what files it has: code {answer.get('rc')}, {answer.get('stderr', '')!r}")
        return parse_look(str(answer["stdout"]))

    def _make(self, file: Wanted, task_vars: dict[str, Any]) -> dict[str, Any]:
        """The ordinary modules do the work, one file at a time."""
        common = {"owner": file.owner, "group": file.group, "mode": f"{file.mode:04o}"}
        if file.kind != FILE:
            return dict(
                self._execute_module(
                    module_name="ansible.builtin.file",
                    module_args={"path": file.dest, "state": "directory", **common},
                    task_vars=task_vars,
                )
            )
        task = self._task.copy()
        task.args = {"dest": file.dest, "content": file.text, **common}
        if file.validate:
            task.args["validate"] = file.validate
        if not file.diff:
            task.diff = False
        copy = self._shared_loader_obj.action_loader.get(
            "ansible.builtin.copy",
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        return dict(copy.run(task_vars=task_vars))
