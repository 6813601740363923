#!/usr/bin/python
"""Ansible module: do RTPEngines answer this proxy, and does its engine give them calls?"""

from __future__ import annotations

DOCUMENTATION = r"""
module: rtpengine_state
short_description: RTPEngine relays as one proxy sees them
version_added: 0.1.0
description:
  - Pings RTPEngines by their ng protocol from the host where it runs, and asks that host's OpenSIPS which of them it uses.
  - Changes nothing.
author: The sipha.cluster founders (@sipha)
options:
  relays:
    description: Addresses of the RTPEngines.
    type: list
    elements: str
    required: true
  port:
    description: UDP port of their ng protocol, 1 to 65535.
    type: int
    default: 2223
  mi_socket:
    description: Socket of OpenSIPS' module C(mi_datagram). Empty asks no engine.
    type: str
    default: ""
  show_command:
    description: Name of the engine's command, C(rtpengine:show) in 4.0.
    type: str
    default: rtpengine_show
  timeout:
    description: Seconds to wait for answers, 0.1 to 60.
    type: float
    default: 1.0
attributes:
  check_mode:
    support: full
    description: Nothing is ever changed.
"""

EXAMPLES = r"""
- name: Do they answer, and does the engine use them
  sipha.cluster.rtpengine_state:
    relays: [198.18.20.31, 198.18.20.32]
    mi_socket: /run/opensips/socket
"""

RETURN = r"""
answering:
  description: Addresses that answered, sorted.
  type: list
  elements: str
  returned: always
problems:
  description: One sentence for each relay that does not answer or that the engine leaves out; empty when all is well.
  type: list
  elements: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sipha.cluster.plugins.module_utils.node import media, mi


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "relays": {"type": "list", "elements": "str", "required": True},
            "port": {"type": "int", "default": 2223},
            "mi_socket": {"type": "str", "default": ""},
            "show_command": {"type": "str", "default": "rtpengine_show"},
            "timeout": {"type": "float", "default": 1.0},
        },
        supports_check_mode=True,
    )
    arguments = module.params
    if not 0.1 <= arguments["timeout"] <= 60:
        module.fail_json(msg=f"timeout is {arguments['timeout']} s, set it to 0.1 to 60")
    answering = media.answering_rtpengines(arguments["relays"], arguments["port"], arguments["timeout"])
    problems = [f"{address} does not answer" for address in sorted(set(arguments["relays"]) - answering)]
    if arguments["mi_socket"]:
        try:
            used = media.used_rtpengines(mi.call(arguments["mi_socket"], arguments["show_command"]))
        except mi.MiError as error:
            problems.append(str(error))
        else:
            problems += [
                f"the engine does not use {address}"
                for address in sorted(arguments["relays"])
                if f"udp:{address}:{arguments['port']}" not in used
            ]
    module.exit_json(changed=False, answering=sorted(answering), problems=problems)


if __name__ == "__main__":
    main()
