#!/usr/bin/python
"""Ansible module: one command to OpenSIPS' management interface."""

from __future__ import annotations

DOCUMENTATION = r"""
module: opensips_mi
short_description: Run a command of OpenSIPS' management interface
version_added: 0.1.0
description:
  - Sends one JSON-RPC request to the UNIX datagram socket of the module C(mi_datagram) and returns its result.
  - Nothing is known about what a command changes, so I(changed) is what you say.
author: The sipha.cluster founders (@sipha)
options:
  command:
    description: Name of the command, like C(uptime); in 4.0 with its module, like C(domain:reload).
    type: str
    required: true
  params:
    description: Named parameters of the command.
    type: dict
    default: {}
  socket:
    description: The engine's socket.
    type: path
    default: /run/opensips/socket
  timeout:
    description: Seconds to wait for the answer, 0.1 to 60.
    type: float
    default: 5.0
  changes:
    description: Whether the command changes the engine's state; reported as I(changed). Not run in check mode when true.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    description: Commands that change something are not sent.
"""

EXAMPLES = r"""
- name: Read the trusted addresses anew
  sipha.cluster.opensips_mi:
    command: address_reload

- name: Who has which sharing tag
  sipha.cluster.opensips_mi:
    command: clusterer_list_shtags
    changes: false
  register: tags
"""

RETURN = r"""
result:
  description: What the command answered, as JSON.
  type: raw
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sipha.cluster.plugins.module_utils.node import mi


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "command": {"type": "str", "required": True},
            "params": {"type": "dict", "default": {}},
            "socket": {"type": "path", "default": "/run/opensips/socket"},
            "timeout": {"type": "float", "default": 5.0},
            "changes": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    arguments = module.params
    if not 0.1 <= arguments["timeout"] <= 60:
        module.fail_json(msg=f"timeout is {arguments['timeout']} s, set it to 0.1 to 60")
    if module.check_mode and arguments["changes"]:
        module.exit_json(changed=True, result=None)
    try:
        result = mi.call(arguments["socket"], arguments["command"], arguments["params"], arguments["timeout"])
    except mi.MiError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=arguments["changes"], result=result)


if __name__ == "__main__":
    main()
