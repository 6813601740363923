#!/usr/bin/python
# SPDX-License-Identifier: MIT
"""Read what one Galera node says about itself."""

from __future__ import annotations

DOCUMENTATION = r"""
module: galera_state
short_description: Read the state of a Galera node
version_added: 0.1.0
author: The sipha.cluster founders (@sipha)
description:
  - Reads the service, the status variables through the local socket, C(grastate.dat), and, when the server is stopped,
    the exact position with C(galera_recovery).
  - Starts, stops and changes nothing. C(galera_recovery) lets InnoDB finish what a crash left, as the next start would.
  - Needs root. It works on hosts without MariaDB too (service C(not-found)).
options:
  name:
    description: Name of the node in the result.
    type: str
    required: true
  datadir:
    description: Data directory of MariaDB.
    type: path
    default: /var/lib/mysql
  socket:
    description: Socket of MariaDB.
    type: path
    default: /run/mysqld/mysqld.sock
  unit:
    description: systemd unit of the server, or of the arbitrator.
    type: str
    default: mariadb.service
  recover:
    description: Find the exact position of a stopped server that has data. Not in check mode, since it may write to the data.
    type: bool
    default: true
  wait_for:
    description:
      - C(settled) waits while the service is starting or stopping, C(synced) until the node is Primary and Synced.
      - When the time is over the state is returned as it is; judging it is up to the caller.
    type: str
    choices: [nothing, settled, synced]
    default: nothing
  cluster_sizes:
    description: With C(wait_for=synced), wait until the node also sees one of these numbers of members.
    type: list
    elements: int
    default: []
  timeout:
    description: Seconds to wait.
    type: int
    default: 60
  watch:
    description: Files that the service reads at its start. If one is newer than the start, C(stale) is true.
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    description: Can run in check mode.
    support: full
"""

EXAMPLES = r"""
- name: Read the state of this node
  sipha.cluster.galera_state:
    name: "{{ inventory_hostname }}"
  register: state
"""

RETURN = r"""
node:
  description: The node; keys as in C(Node) of module_utils/galera.py, and primary, synced, stopped, position.
  type: dict
  returned: always
stale:
  description: The service runs with older files than those on the disk.
  type: bool
  returned: always
"""

import dataclasses
import os
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sipha.cluster.plugins.module_utils import galera

try:
    import pymysql
except ImportError:
    pymysql = None  # type: ignore[assignment]  # not installed yet: then no server is running either


def read_service(module: AnsibleModule, unit: str) -> tuple[str, float]:
    """State of the unit, and the wall-clock time of its start (0 when it does not run)."""
    command = ["systemctl", "show", unit, "--property=LoadState,ActiveState,MainPID,ExecMainStartTimestampMonotonic"]
    _rc, out, _err = module.run_command(command, check_rc=True)
    values = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
    if values.get("LoadState") == "not-found":
        return "not-found", 0.0
    state = values.get("ActiveState", "unknown")
    if values.get("MainPID", "0") == "0":
        return state, 0.0
    age = time.monotonic() - int(values.get("ExecMainStartTimestampMonotonic", "0")) / 1e6
    return state, time.time() - age


def read_status(socket: str) -> tuple[dict[str, str], dict[str, str]] | None:
    """Status and variables, or None if the server does not answer within seconds."""
    if pymysql is None or not os.path.exists(socket):
        return None
    try:
        connection: Any = pymysql.connect(unix_socket=socket, user="root", connect_timeout=3, read_timeout=5)
    except (pymysql.err.MySQLError, OSError):
        return None
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'wsrep\\_%'")
            status = {str(k): str(v) for k, v in cursor.fetchall()}
            cursor.execute("SHOW GLOBAL VARIABLES LIKE 'read_only'")
            variables = {str(k): str(v) for k, v in cursor.fetchall()}
    except (pymysql.err.MySQLError, OSError):
        return None
    finally:
        connection.close()
    return status, variables


def read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except FileNotFoundError:
        return ""


def recovered_position(module: AnsibleModule) -> galera.Position:
    rc, out, err = module.run_command(["/usr/bin/galera_recovery"])
    if rc != 0:
        module.fail_json(msg=f"galera_recovery ended with {rc}: {err.strip()[-3000:]}", rc=rc, stdout=out, stderr=err)
    return galera.parse_recovery(out)


def look(module: AnsibleModule) -> tuple[galera.Node, float]:
    """The node as its service and its SQL port show it, and when the service was started."""
    params = module.params
    service, started = read_service(module, params["unit"])
    answer = read_status(params["socket"])
    if answer:
        return galera.node_from_status(params["name"], service, *answer), started
    return galera.Node(params["name"], service), started


def done(params: dict[str, Any], node: galera.Node) -> bool:
    if params["wait_for"] == "settled":
        return node.service not in ("activating", "deactivating", "reloading")
    if params["wait_for"] == "synced":
        return node.synced and (not params["cluster_sizes"] or node.cluster_size in params["cluster_sizes"])
    return True


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "datadir": {"type": "path", "default": "/var/lib/mysql"},
            "socket": {"type": "path", "default": "/run/mysqld/mysqld.sock"},
            "unit": {"type": "str", "default": "mariadb.service"},
            "recover": {"type": "bool", "default": True},
            "wait_for": {"type": "str", "choices": ["nothing", "settled", "synced"], "default": "nothing"},
            "cluster_sizes": {"type": "list", "elements": "int", "default": []},
            "timeout": {"type": "int", "default": 60},
            "watch": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    params = module.params
    deadline = time.monotonic() + params["timeout"]
    try:
        node, started = look(module)
        while not done(params, node) and time.monotonic() < deadline:
            time.sleep(0.3)
            node, started = look(module)
        grastate = galera.parse_grastate(read_text(os.path.join(params["datadir"], "grastate.dat")))
        if os.path.isdir(params["datadir"]):
            entries = [e.name for e in os.scandir(params["datadir"]) if e.is_dir()]
            node = dataclasses.replace(node, user_databases=galera.user_databases(entries))
        recovered = node.recovered
        if params["recover"] and not module.check_mode and node.stopped and os.path.isdir(os.path.join(params["datadir"], "mysql")):
            recovered = recovered_position(module)
        node = dataclasses.replace(node, grastate=grastate, recovered=recovered)
    except galera.GaleraError as err:
        module.fail_json(msg=str(err))
    newest = max((os.stat(p).st_mtime for p in params["watch"] if os.path.exists(p)), default=0.0)
    module.exit_json(changed=False, node=galera.node_as_dict(node), stale=started > 0 and newest > started)


if __name__ == "__main__":
    main()
