#!/usr/bin/python
"""Ansible module: what Mediaproxy dispatchers know about relays and sessions."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mediaproxy_state
short_description: Relays, sessions and versions as Mediaproxy's dispatchers see them
version_added: 0.1.0
description:
  - Asks the management interface of one or more dispatchers, over TLS, and compares what they see with what should be there.
  - A relay that does not answer makes its dispatcher wait for C(relay_timeout), and is left out of new calls from then on, so
    asking is itself a health check. Changes nothing.
author: The sipha.cluster founders (@sipha)
options:
  dispatchers:
    description: Addresses of the dispatchers.
    type: list
    elements: str
    required: true
  port:
    description: Port of their management interface, 1 to 65535.
    type: int
    default: 25061
  ca:
    description: CA of the media certificates, on the host where the module runs.
    type: path
    default: /etc/sipha/media-manager/ca.pem
  certificate:
    description: Our certificate. Its common name must fit the dispatchers' C(management_passport).
    type: path
    default: /etc/sipha/media-manager/manager.crt
  key:
    description: Its key.
    type: path
    default: /etc/sipha/media-manager/manager.key
  relays:
    description: Addresses of each relay (core and public) by its name. Empty compares nothing.
    type: dict
    default: {}
  expected:
    description: Names of the relays that each dispatcher should see active. Not set, it is all of C(relays), and no others.
    type: list
    elements: str
  without:
    description: Name of a relay that is not counted in C(spare).
    type: str
    default: ""
  sessions:
    description: Fetch the running sessions as well. With relays that do not answer a dispatcher can't tell them.
    type: bool
    default: false
  timeout:
    description: Seconds to wait for a dispatcher, above its C(relay_timeout), 0.5 to 60.
    type: float
    default: 5.0
attributes:
  check_mode:
    support: full
    description: Nothing is ever changed.
"""

EXAMPLES = r"""
- name: Are all relays connected to all dispatchers
  sipha.cluster.mediaproxy_state:
    dispatchers: [198.18.20.11, 198.18.20.12]
    relays:
      relay1: [198.18.20.31, 198.18.10.31]
      relay2: [198.18.20.32, 198.18.10.32]
  register: media
  until: media.problems | length == 0
  retries: 10
  delay: 1
"""

RETURN = r"""
dispatchers:
  description: >-
    By address, C(version), C(relays) (each with C(ip), C(status), C(version), C(uptime) in seconds, C(sessions) as a number) and, when
    asked for, C(sessions) as the dispatcher tells them.
  type: dict
  returned: always
spare:
  description: The fewest active relays, not counting C(without), that any of the dispatchers has; 0 when one can't be asked.
  type: int
  returned: always
problems:
  description: One sentence for each dispatcher that can't be asked and each relay that is not as expected; empty when all is well.
  type: list
  elements: str
  returned: always
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sipha.cluster.plugins.module_utils.node import media


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "dispatchers": {"type": "list", "elements": "str", "required": True},
            "port": {"type": "int", "default": 25061},
            "ca": {"type": "path", "default": "/etc/sipha/media-manager/ca.pem"},
            "certificate": {"type": "path", "default": "/etc/sipha/media-manager/manager.crt"},
            "key": {"type": "path", "default": "/etc/sipha/media-manager/manager.key", "no_log": False},
            "relays": {"type": "dict", "default": {}},
            "expected": {"type": "list", "elements": "str"},
            "without": {"type": "str", "default": ""},
            "sessions": {"type": "bool", "default": False},
            "timeout": {"type": "float", "default": 5.0},
        },
        supports_check_mode=True,
    )
    arguments = module.params
    if not 0.5 <= arguments["timeout"] <= 60:
        module.fail_json(msg=f"timeout is {arguments['timeout']} s, set it to 0.5 to 60")
    if not 1 <= arguments["port"] <= 65535:
        module.fail_json(msg=f"port is {arguments['port']}, set it to 1 to 65535")
    identity = media.Identity(arguments["ca"], arguments["certificate"], arguments["key"])
    seen: dict[str, Any] = {}
    views: list[list[media.Relay]] = []
    problems: list[str] = []
    for address in arguments["dispatchers"]:
        try:
            with media.Dispatcher(address, arguments["port"], identity, arguments["timeout"]) as dispatcher:
                relays = dispatcher.relays()
                views.append(relays)
                seen[address] = {"version": dispatcher.version(), "relays": [asdict(relay) for relay in relays]}
                if arguments["sessions"]:
                    seen[address]["sessions"] = dispatcher.sessions()
                    for call_id in media.silent_streams(seen[address]["sessions"]):
                        problems.append(f"dispatcher {address}: media of {call_id} is not tracked by its relay's kernel and will be cut")
        except media.MediaError as error:
            problems.append(str(error))
            continue
        if arguments["relays"]:
            problems += [f"dispatcher {address}: {text}" for text in media.differences(relays, arguments["relays"], arguments["expected"])]
    spare = media.spare(views, arguments["relays"].get(arguments["without"], [])) if len(views) == len(arguments["dispatchers"]) else 0
    module.exit_json(changed=False, dispatchers=seen, problems=problems, spare=spare)


if __name__ == "__main__":
    main()
