#!/usr/bin/python
"""Ansible module: one look at a host, for rules that judge what it says."""

from __future__ import annotations

import time

STARTED = time.time()

DOCUMENTATION = r"""
module: host_look
short_description: One look at a host, everything that rules about hosts need
version_added: 0.1.0
author: The sipha.cluster founders (@sipha)
description:
  - Reads C(/proc), C(/sys), the interfaces and the free space of a host in one go, and returns it as plain data. The filter
    P(sipha.cluster.live_findings#filter) judges it against the inventory.
  - Returns the facts that the roles of this collection read as well, so that M(ansible.builtin.setup) is not needed.
  - Changes nothing. Addresses in O(probe) are asked for by ARP from 0.0.0.0, which nobody notes down.
  - An action plugin of the same name notes the controller's clock before and after the look.
options:
  probe:
    description: IPv4 addresses to ask for in the host's own segments, where the host does not carry them. Takes 0.3 s.
    type: list
    elements: str
    default: []
  pki_dir:
    description:
      - Directory on the controller with the CA (C(ca.pem)) that hosts are to have certificates of.
      - C(look.controller_ca) is then what it holds.
    type: path
attributes:
  check_mode:
    support: full
    description: Nothing is ever changed.
"""

EXAMPLES = r"""
- name: Look at the host, and who answers for the VIP
  sipha.cluster.host_look:
    probe: [198.18.10.10]
  register: seen

- name: Show who listens
  ansible.builtin.debug:
    msg: "{{ seen.look.listeners }}"
"""

RETURN = r"""
look:
  description:
    - C(hostname), C(machine_id), C(root) (does Ansible work as root), C(os), C(init), C(python), C(interfaces), C(gateways),
      C(memory) and C(disks) in MB, C(sysctls), C(conntrack) (V(loaded), V(loadable), V(missing)), C(open_files), C(listeners),
      C(hidden) (processes whose sockets Ansible may not see), C(probes), C(ca) (its certificate) and C(clock).
    - In C(probes) an address has the MACs that answer (C(answers)), or C(carried) when the host has it itself, or C(error).
  returned: always
  type: dict
ansible_facts:
  description: Names, distribution, memory, interfaces and default gateway, a part of what M(ansible.builtin.setup) returns.
  returned: always
  type: dict
"""

import ipaddress

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sipha.cluster.plugins.module_utils.host_look import Host, facts


def main() -> None:
    module = AnsibleModule(
        argument_spec={"probe": {"type": "list", "elements": "str", "default": []}, "pki_dir": {"type": "path"}}, supports_check_mode=True
    )
    for address in module.params["probe"]:
        try:
            ipaddress.IPv4Address(address)
        except ValueError:
            module.fail_json(msg=f"probe: '{address}' is not an IPv4 address")
    look = Host().look(module.params["probe"], STARTED)
    module.exit_json(changed=False, look=look, ansible_facts=facts(look))


if __name__ == "__main__":
    main()
