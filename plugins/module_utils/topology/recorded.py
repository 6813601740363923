"""What a plan needs of one task's result, and no more: no content of files, no secrets. Plain data in and out."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

# Without one of its packages a host does not do yet what its group says. Role mediaproxy installs both relays' packages by group.
SERVERS: dict[str, tuple[str, ...]] = {
    "proxies": ("opensips",),
    "databases": ("mariadb-server",),
    "arbitrators": ("galera-arbitrator-4",),
    "relays": ("mediaproxy-relay", "rtpengine-daemon"),
}
PATHS = ("dest", "path", "filename")
FACTS = ("unit_watched", "__packages_known")
SERVICES = ("systemd_service", "systemd", "service")
LONGEST = 2000  # characters of an error
_PACKAGE = re.compile(r"^(Inst|Remv|Purg) (\S+)(?: \[([^\]]+)\])?(?: \((\S+))?", re.MULTILINE)


def short(action: str) -> str:
    """ansible.builtin.apt -> apt"""
    return action.rsplit(".", 1)[-1]


def lines_changed(before: str, after: str) -> tuple[int, int]:
    """How many lines come and go."""
    added = removed = 0
    for what, start, end, new_start, new_end in difflib.SequenceMatcher(None, before.splitlines(), after.splitlines()).get_opcodes():
        if what != "equal":
            added, removed = added + new_end - new_start, removed + end - start
    return added, removed


def _diffs(diff: Any) -> list[Mapping[str, Any]]:
    return [one for one in (diff if isinstance(diff, list) else [diff]) if isinstance(one, Mapping) and one]


def _file(path: str, diffs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One changed path. `content` is False where owner or mode alone differ: no service reads the file anew for that."""
    entry: dict[str, Any] = {"path": path, "content": True}
    texts = rights = False
    for diff in diffs:
        before, after = diff.get("before", ""), diff.get("after", "")
        if isinstance(before, str) and isinstance(after, str):
            if before != after:
                texts = True
                entry["added"], entry["removed"] = lines_changed(before, after)
                entry["made"] = not before
        elif isinstance(before, Mapping):
            rights = True
            entry["made"] = entry.get("made", False) or before.get("state") == "absent"
    entry["content"] = texts or not rights or bool(entry.get("made"))
    return entry


def _about(diff: Mapping[str, Any], path: str) -> bool:
    """Is this diff about this path?"""
    before = diff.get("before")
    return path in (diff.get("before_header"), before.get("path") if isinstance(before, Mapping) else None)


def _files(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    diffs = _diffs(result.get("diff"))
    if "changed_files" in result:
        return [_file(str(path), [diff for diff in diffs if _about(diff, str(path))]) for path in result["changed_files"] or []]
    arguments = (result.get("invocation") or {}).get("module_args") or {}
    path = next((str(source[key]) for source in (result, arguments) for key in PATHS if source.get(key)), "")
    return [_file(path, diffs)] if path.startswith("/") else []


def _packages(text: str, asked: Iterable[str]) -> list[str]:
    """From what apt-get --simulate prints; what was asked for comes before what that needs."""
    found = []
    for verb, name, old, _new in _PACKAGE.findall(text):
        found.append(("-" if verb != "Inst" else "^" if old else "+") + name)
    names = {str(one).split("=")[0] for one in asked}
    return sorted(found, key=lambda one: one[1:] not in names)


def _addresses(facts: Mapping[str, Any]) -> dict[str, list[str]] | None:
    """Interface -> its addresses, from the facts of the host. The loopback may carry a VIP on every host and says nothing,
    nor do its labels (lo:sipha, which setup calls lo_sipha)."""
    if "interfaces" not in facts:
        return None
    found = {}
    for name in facts["interfaces"]:
        data = facts.get(str(name).replace("-", "_").replace(":", "_"))
        if re.split("[_:]", str(name))[0] != "lo" and isinstance(data, Mapping):
            entries = [data.get("ipv4") or {}, *(data.get("ipv4_secondaries") or [])]
            found[str(name)] = [str(entry["address"]) for entry in entries if isinstance(entry, Mapping) and entry.get("address")]
    return found


def _found(action: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """What is worth keeping of a result, whatever its status."""
    arguments = (result.get("invocation") or {}).get("module_args") or {}
    name = short(action)
    facts = result.get("ansible_facts") or {}
    if name in ("host_look", "setup", "gather_facts"):
        addresses = _addresses({key.removeprefix("ansible_"): value for key, value in facts.items()})
        return {} if addresses is None else {"addresses": addresses}
    if name == "set_fact":
        kept = {key: facts[key] for key in FACTS if key in facts}
        known = kept.pop("__packages_known", None)
        if known is not None:
            names = {str(line).removeprefix("installed/") for line in known}
            kept["installed"] = sorted(names & {package for packages in SERVERS.values() for package in packages})
        return kept
    if name == "group_by":
        return {"group": str(result.get("add_group") or "")}
    if name == "galera_state":
        watched = {"name": str(arguments.get("unit") or "mariadb.service"), "files": list(arguments.get("watch") or [])}
        service = str((result.get("node") or {}).get("service") or "")
        return {"unit_watched": {**watched, "stale": bool(result.get("stale"))}, "service": service} if watched["files"] else {}
    return {}


def _changed(action: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """What a task that changes something changes."""
    arguments = (result.get("invocation") or {}).get("module_args") or {}
    name = short(action)
    if name in SERVICES:
        active = str((result.get("status") or {}).get("ActiveState") or "")
        return {
            "unit": str(result.get("name") or arguments.get("name") or ""),
            "state": str(arguments.get("state") or ""),
            "enabled": arguments.get("enabled"),
            "active": active,
        }
    if name in ("apt", "package"):
        return {"packages": _packages(str(result.get("stdout") or ""), arguments.get("package") or arguments.get("name") or ())}
    if name == "sip_schema":
        return {"actions": [str(action) for action in result.get("actions") or []]}
    if name == "sip_data":
        return {"counts": dict(result.get("counts") or {})}
    if (
        name == "opensips_release"
        and arguments.get("state") == "installed"
        and (result.get("id") != result.get("active") or result.get("repaired"))
    ):
        return {"files": [_file(f"{arguments.get('root') or '/etc/opensips'}/opensips.cfg", [])]}
    if name == "opensips_mi":
        return {"command": str(arguments.get("command") or "")}
    if name in ("user", "group", "sysctl"):
        return {"name": str(arguments.get("name") or result.get("name") or "")}
    files = _files(result)
    return {"files": files} if files else {}


def extract(action: str, status: str, result: Mapping[str, Any], never_changes: bool = False) -> list[dict[str, Any]]:
    """A result as events {status, found, message}; one for each item of a loop, none where there is nothing to say.

    status: ok, changed, failed, ignored, unreachable, would_run (a command that check mode leaves out)."""
    parts = result.get("results")
    if isinstance(parts, list) and parts and all(isinstance(part, Mapping) and "ansible_loop_var" in part for part in parts):
        events = []
        for part in parts:
            own = "skipped" if part.get("skipped") else "changed" if part.get("changed") else "ok"
            if part.get("failed"):
                own = status if status in ("failed", "ignored") else "failed"
            if part.get("unreachable"):
                own = "unreachable"
            events += extract(action, own, part, never_changes)
        return events
    if status == "skipped":
        said = f"{result.get('msg', '')} {result.get('skip_reason', '')}"
        left_out = "check mode" in said and not never_changes
        return [{"status": "would_run", "found": {}, "message": ""}] if left_out else []
    found = _found(action, result)
    if status == "changed":
        found |= _changed(action, result)
    message = ""
    if status in ("failed", "ignored", "unreachable"):
        message = str(result.get("msg") or result.get("stderr") or result.get("censored") or "")[:LONGEST]
    return [{"status": status, "found": found, "message": message}] if found or status != "ok" else []
