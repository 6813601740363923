"""Starts another ansible-playbook on the same inventory, with the options of the one that runs. Secrets go through files of ours alone."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import yaml
from ansible import constants, context
from ansible.parsing.splitter import parse_kv

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
QUIET = {  # its output is read by a program
    "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
    "ANSIBLE_RETRY_FILES_ENABLED": "0",
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_FORCE_COLOR": "0",
}


def environment() -> dict[str, str]:
    return {**os.environ, **QUIET, "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(constants.COLLECTIONS_PATHS)}


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "ansible", "playbook", *options]


class SameCall:
    """The options of the other call; files with what needs to be secret are in `private`, whose owner removes it."""

    def __init__(self, private: Path, play_context: Any, vault: Any) -> None:
        self.private, self._play_context, self._vault = private, play_context, vault

    def options(self, limit: list[str] | None = None, skip_tags: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> list[str]:
        """As this ansible-playbook was called; extra variables whose names begin with one of `without` are left out."""
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
        for tag in [*(given.get("skip_tags") or ()), *skip_tags]:
            options += ["--skip-tags", str(tag)]
        for number, text in enumerate(given.get("extra_vars") or ()):
            options += ["--extra-vars", self._extra_vars(str(text), self.private / f"vars-{number}", without)]
        return options + self._secrets()

    def _extra_vars(self, text: str, path: Path, without: tuple[str, ...]) -> str:
        """@FILE. What was not given as a file becomes one, so that nobody reads it in the process list."""
        if text.startswith("@"):
            return text
        values = yaml.safe_load(text) if text[:1] in "{[" else parse_kv(text)
        if isinstance(values, dict):
            values = {name: value for name, value in values.items() if not name.startswith(without or ("\0",))}
        return "@" + keep(path, json.dumps(values))

    def _secrets(self) -> list[str]:
        """Passwords that were asked for, or read: not asked again."""
        options = []
        for number, (identity, secret) in enumerate(self._vault or ()):
            path = keep(self.private / f"vault-{number}", secret.bytes)
            options += ["--vault-id", f"{identity or constants.DEFAULT_VAULT_IDENTITY}@{path}"]
        for option, value in (("connection", self._play_context.password), ("become", self._play_context.become_pass)):
            if value:
                options += [f"--{option}-password-file", keep(self.private / option, str(value))]
        return options


def keep(path: Path, content: str | bytes) -> str:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(content.encode() if isinstance(content, str) else content)
    return str(path)
