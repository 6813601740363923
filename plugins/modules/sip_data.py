#!/usr/bin/python
"""Ansible module: what users provision, as rows of the SIP engine's tables."""

from __future__ import annotations

DOCUMENTATION = r"""
module: sip_data
short_description: Keep subscribers, trusted addresses, domains, groups and gateways of a SIP engine
version_added: 0.1.0
author: The sipha.cluster founders (@sipha)
description:
  - Adds, changes and removes rows in the tables C(subscriber), C(address), C(domain), C(grp) and C(dispatcher) of
    OpenSIPS, so that nobody has to type SQL.
  - Passwords are stored only as HA1 hashes (MD5 and SHA-256), the column C(password) stays empty.
  - All lists are checked before anything is written, and everything is written in one transaction.
  - Rows that are not listed stay as they are, unless O(purge=true). Columns that the engine itself writes (the state of
    a gateway) are never touched.
  - Runs on a database host, as root through the UNIX socket. Needs PyMySQL there (C(python3-pymysql)).
attributes:
  check_mode:
    description: Can run in check mode and tell what it would do.
    support: full
  diff_mode:
    description: Shows the rows that change, without passwords and hashes.
    support: full
options:
  database:
    description: Name of the database.
    type: str
    default: opensips
  default_domain:
    description: Domain of subscribers and groups that name none.
    type: str
    default: ""
  purge:
    description:
      - Remove rows that are not listed. Only tables whose list is given are looked at; a list that is given and empty
        empties its table.
    type: bool
    default: false
  subscribers:
    description: Users who may register and call. Case does not matter when names are compared.
    type: list
    elements: dict
    suboptions:
      username:
        description: User part of the SIP address.
        type: str
      domain:
        description: Domain, also the digest realm. Default is O(default_domain).
        type: str
      password:
        description: The password. Give this or O(subscribers[].ha1).
        type: str
      ha1:
        description: MD5 of C(username:domain:password), hexadecimal.
        type: str
      ha1_sha256:
        description: SHA-256 of C(username:domain:password), hexadecimal. Without it this user can't use SHA-256 digest.
        type: str
      state:
        description: Whether the subscriber exists, V(present) or V(absent). Default V(present).
        type: str
  trusted_addresses:
    description: Peers that need no password (table C(address)).
    type: list
    elements: dict
    suboptions:
      address:
        description: An IP address or a network.
        type: str
      group:
        description: Number of the group that the script asks for, 0 to 65535. Default 1.
        type: raw
      port:
        description: Source port, 0 for any. Default 0.
        type: raw
      protocol:
        description: One of V(any), V(udp), V(tcp), V(tls), V(sctp), V(ws), V(wss). Default V(any).
        type: str
      pattern:
        description: Pattern that the script can compare with.
        type: str
      tag:
        description: Text that the script gets back when this row matches (column C(context_info)).
        type: str
      state:
        description: Whether the row exists, V(present) or V(absent). Default V(present).
        type: str
  domains:
    description: Domains that the cluster serves.
    type: list
    elements: dict
    suboptions:
      domain:
        description: The domain name.
        type: str
      state:
        description: Whether the domain exists, V(present) or V(absent). Default V(present).
        type: str
  groups:
    description: Which user is in which group (table C(grp)).
    type: list
    elements: dict
    suboptions:
      username:
        description: User part of the SIP address.
        type: str
      domain:
        description: Domain of the user. Default is O(default_domain).
        type: str
      group:
        description: Name of the group.
        type: str
      state:
        description: Whether the membership exists, V(present) or V(absent). Default V(present).
        type: str
  gateways:
    description: Where calls to the outside go (table C(dispatcher)).
    type: list
    elements: dict
    suboptions:
      set:
        description: Number of the set. Default 1.
        type: raw
      address:
        description: SIP URI of the gateway.
        type: str
      weight:
        description: Weight within the set, 0 to 65535. Default 1.
        type: raw
      priority:
        description: Priority within the set, higher is tried first. Default 0.
        type: raw
      description:
        description: A note.
        type: str
      state:
        description: Whether the gateway exists, V(present) or V(absent). Default V(present).
        type: str
  login_unix_socket:
    description: The socket of the MariaDB server.
    type: path
    default: /run/mysqld/mysqld.sock
"""

EXAMPLES = r"""
- name: Keep what the cluster serves
  sipha.cluster.sip_data:
    default_domain: sip.example.org
    domains: [{domain: sip.example.org}]
    subscribers:
      - {username: alice, password: "{{ vault_alice }}"}
      - {username: bob, state: absent}
    trusted_addresses: [{address: 198.18.10.50, group: 1}]
    gateways: [{set: 1, address: "sip:198.18.10.50:5060"}]
  register: data

- name: Remove every gateway that is not listed
  sipha.cluster.sip_data:
    gateways: [{set: 1, address: "sip:198.18.10.50:5060"}]
    purge: true
"""

RETURN = r"""
changed_tables:
  description: Tables whose rows changed, so that a play can reload the engine's caches of them.
  returned: success
  type: list
  elements: str
  sample: [address, domain]
digests:
  description: What the rows of the tables with a given list say after this, to compare with what an engine has read; not for subscribers.
  returned: success
  type: dict
  sample: {domain: 0a1b2c3d4e5f6071}
counts:
  description: Rows inserted, updated and deleted, by table.
  returned: success
  type: dict
  sample: {subscriber: {inserted: 1, updated: 0, deleted: 0}}
"""

import contextlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.sipha.cluster.plugins.module_utils.sip_data import (
    CACHED,
    KINDS,
    Changes,
    DataError,
    Kind,
    Row,
    changes,
    diff,
    digest,
    entries,
)

try:
    import pymysql

    HAS_PYMYSQL = True
except ImportError:
    HAS_PYMYSQL = False

# A transaction that Galera refuses because another node was first (1213) or that waited for a lock (1205) is run again.
RETRIED_ERRORS = (1205, 1213)
ATTEMPTS = 5
NO_SUCH_TABLE = (1109, 1146)
NO_SUCH_DATABASE = 1049


def read_rows(connection: Any, kind: Kind) -> list[Row]:
    with connection.cursor(pymysql.cursors.DictCursor) as cursor:
        columns = ", ".join(f"`{column}`" for column in ("id", *kind.columns))
        cursor.execute(f"SELECT {columns} FROM `{kind.table}` ORDER BY id")  # noqa: S608 (names are constants)
        return list(cursor.fetchall())


def write(connection: Any, changed: Changes) -> None:
    kind = changed.kind
    stamp = ", `last_modified` = NOW()" if kind.stamped else ""
    assignments = ", ".join(f"`{column}` = %s" for column in kind.columns) + stamp
    with connection.cursor() as cursor:
        for row in changed.delete:
            cursor.execute(f"DELETE FROM `{kind.table}` WHERE id = %s", (row["id"],))  # noqa: S608
        for old, new in changed.update:
            cursor.execute(
                f"UPDATE `{kind.table}` SET {assignments} WHERE id = %s",  # noqa: S608
                (*(new[column] for column in kind.columns), old["id"]),
            )
        for row in changed.insert:
            cursor.execute(
                f"INSERT INTO `{kind.table}` SET {assignments}",
                tuple(row[column] for column in kind.columns),
            )


def converge(module: AnsibleModule, connection: Any) -> tuple[list[Changes], dict[str, str]]:
    """Read, compare and write in one transaction."""
    given = [kind for kind in KINDS if module.params[kind.option] is not None]
    wanted = {kind.option: entries(kind, module.params[kind.option], module.params["default_domain"]) for kind in given}
    connection.begin()
    result, digests = [], {}
    for kind in given:
        try:
            existing = read_rows(connection, kind)
        except pymysql.MySQLError as error:
            if not (module.check_mode and error.args[0] in NO_SUCH_TABLE):
                raise
            existing = []
        changed = changes(kind, wanted[kind.option], existing, module.params["purge"])
        result.append(changed)
        if kind.table in CACHED:
            digests[kind.table] = digest(kind, changed.result(existing))
    if module.check_mode:
        connection.rollback()
        return result, digests
    for changed in result:
        write(connection, changed)
    connection.commit()
    return result, digests


def attempt(module: AnsibleModule, connection: Any) -> tuple[list[Changes], dict[str, str]]:
    for tries_left in reversed(range(ATTEMPTS)):
        try:
            return converge(module, connection)
        except pymysql.MySQLError as error:
            connection.rollback()
            if error.args[0] not in RETRIED_ERRORS or not tries_left:
                raise
    raise AssertionError("unreachable")


def connect(module: AnsibleModule) -> Any:
    database = module.params["database"]
    options = {"unix_socket": module.params["login_unix_socket"], "user": "root", "charset": "utf8mb4"}
    try:
        try:
            return pymysql.connect(database=database, **options)
        except pymysql.MySQLError as error:
            if module.check_mode and error.args[0] == NO_SUCH_DATABASE:
                # Nothing exists yet: every table is missing, as in information_schema.
                return pymysql.connect(database="information_schema", **options)
            raise
    except pymysql.MySQLError as error:
        module.fail_json(
            msg=f"MariaDB does not open database '{database}' to root through {module.params['login_unix_socket']}: "
            f"{error}. Is this a database host with the schema (role sip_schema), and does the task run as root?"
        )


def main() -> None:
    text: dict[str, str] = {"type": "str"}
    raw: dict[str, str] = {"type": "raw"}
    secret: dict[str, Any] = {"type": "str", "no_log": True}

    def listed(**options: dict[str, Any]) -> dict[str, Any]:
        return {"type": "list", "elements": "dict", "options": {**options, "state": text}}

    module = AnsibleModule(
        argument_spec={
            "database": {"type": "str", "default": "opensips"},
            "default_domain": {"type": "str", "default": ""},
            "purge": {"type": "bool", "default": False},
            "subscribers": listed(username=text, domain=text, password=secret, ha1=secret, ha1_sha256=secret),
            "trusted_addresses": listed(address=text, group=raw, port=raw, protocol=text, pattern={**text, "no_log": False}, tag=text),
            "domains": listed(domain=text),
            "groups": listed(username=text, domain=text, group=text),
            "gateways": listed(set=raw, address=text, weight=raw, priority=raw, description=text),
            "login_unix_socket": {"type": "path", "default": "/run/mysqld/mysqld.sock"},
        },
        supports_check_mode=True,
    )
    if not HAS_PYMYSQL:
        module.fail_json(msg=missing_required_lib("PyMySQL"))
    with contextlib.closing(connect(module)) as connection:
        try:
            result, digests = attempt(module, connection)
        except DataError as error:
            module.fail_json(msg=f"{error} Nothing was changed.")
        except pymysql.MySQLError as error:
            module.fail_json(msg=f"The database refused the data, nothing was changed: {error}")
    module.exit_json(
        changed=any(result),
        digests=digests,
        changed_tables=sorted(changed.kind.table for changed in result if changed),
        counts={
            changed.kind.table: {
                "inserted": len(changed.insert),
                "updated": len(changed.update),
                "deleted": len(changed.delete),
            }
            for changed in result
        },
        diff=[diff(changed) for changed in result if changed],
    )


if __name__ == "__main__":
    main()
