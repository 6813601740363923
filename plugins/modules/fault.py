#!/usr/bin/python
"""Ansible module: breaks one thing on its host on purpose, and heals it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fault
short_description: Break one thing on a host on purpose, with a switch that heals it by itself
version_added: 0.1.0
description:
  - Injects a fault for a failover drill on the host that it runs on, looks whether it is really there, and heals it.
  - Before anything is broken a transient timer of systemd (C(sipha-heal-NAME.timer)) is armed on the host and seen armed. After O(seconds)
    it heals the fault without the controller, the network or the disk, and tries again every 3 seconds until it could.
  - State and healer are in C(/run/sipha-faults), which is memory.
  - The same fault again, while it is there, changes nothing and does not set its switch anew. Another one of the same O(name) is refused.
  - When the fault cuts the connection that Ansible uses, run the task with C(async) and C(poll=0), and read the result when it is healed.
  - A host that is off, paused or rebooting can't heal itself, so those faults are not here; a playbook does them from outside.
  - What each fault does, and which can't be done in containers, is in C(docs/drills_faults.md).
author: The sipha.cluster founders (@sipha)
options:
  state:
    description: V(injected) and V(healed) are for one fault; V(listed) tells all that were injected since the host was started.
    type: str
    choices: [injected, healed, listed]
    default: injected
  name:
    description: The fault's own name on this host, 1 to 32 lower-case letters, digits and underscores. Needed to inject and to heal.
    type: str
  kind:
    description: What is broken. Needed to inject; the options that it takes are named with them.
    type: str
    choices:
      - process_killed
      - unit_frozen
      - unit_stopped
      - link_down
      - link_flapping
      - partition
      - packet_loss
      - netem
      - gateway_gone
      - dns_gone
      - disk_full
      - clock_stepped
  seconds:
    description: After so many seconds the host heals the fault by itself, 1 to 3600.
    type: float
    default: 60.0
  units:
    description: Units of systemd, for V(process_killed), V(unit_frozen), V(unit_stopped). They must be active.
    type: list
    elements: str
  keep_down:
    description: For V(process_killed), systemd does not start the unit again (C(Restart=no)) until it is healed.
    type: bool
  addresses:
    description:
      - Addresses of this host, by which the interfaces are found, for V(link_down), V(link_flapping), V(packet_loss), V(netem).
      - Give each host's own address and no VIP, because healing brings these addresses back.
    type: list
    elements: str
  skip_addresses:
    description: For links, IPv6 addresses that healing must not bring back, nor routes from them. Give the VIPs, which keepalived manages.
    type: list
    elements: str
  times:
    description: For V(link_flapping), how often the link goes down, 1 to 1000. 10 unless set.
    type: int
  period:
    description: For V(link_flapping), seconds for all of that, at most O(seconds). 60 unless set. The link is down half of the time.
    type: float
  peers:
    description: For V(partition), addresses or networks whose packets are lost. Not set, those of everybody.
    type: list
    elements: str
  protocols:
    description: For V(partition), only these protocols (C(tcp), C(udp), C(vrrp), C(icmp), C(icmpv6), C(esp), C(sctp), or a number).
    type: list
    elements: str
  ports:
    description: For V(partition), only to or from these ports.
    type: list
    elements: int
  direction:
    description: For V(partition), which packets are lost. V(both) unless set.
    type: str
    choices: [both, in, out]
  loss:
    description: Percentage of packets that are lost. For V(packet_loss) 0.1 to 100 in each direction, for V(netem) of those that leave.
    type: float
  delay:
    description: For V(netem), seconds by which packets leave later, up to 10.
    type: float
  jitter:
    description: For V(netem), seconds by which that delay varies, at most O(delay).
    type: float
  gateway:
    description: For V(gateway_gone), the neighbour that is lost with all that goes over it. The default route's over IPv4 unless set.
    type: str
  directory:
    description: For V(disk_full), a directory on the file system that is filled.
    type: path
  leave:
    description: For V(disk_full), MB that stay free. 0 unless set, and at least 64 with O(allow_root=true).
    type: int
  allow_root:
    description: For V(disk_full), also fill a file system that holds C(/), C(/var), C(/var/lib), C(/var/log) or C(/tmp).
    type: bool
  step:
    description: For V(clock_stepped), seconds that the clock is set ahead, or back when negative; 1 to 86400. Not in containers.
    type: float
attributes:
  check_mode:
    support: full
    description: The host is looked at and wrong options are refused. Nothing is broken, healed or written.
"""

EXAMPLES = r"""
- name: The engine's processes stop and keep their sockets
  sipha.cluster.fault:
    name: drill
    kind: unit_frozen
    units: [opensips]
    seconds: 30
  register: fault

- name: The public link goes down, and comes back after 10 seconds by itself
  sipha.cluster.fault:
    name: drill
    kind: link_down
    addresses: ["{{ sipha_public_address | ansible.utils.ipaddr('address') }}"]
    seconds: 10
  async: 60
  poll: 0
  register: job

- name: Each proxy takes the others for dead
  sipha.cluster.fault:
    name: vrrp
    kind: partition
    protocols: [vrrp]
    seconds: 30

- name: Heal it, whether it is still there or not
  sipha.cluster.fault:
    name: drill
    state: healed
"""

RETURN = r"""
name:
  description: The fault's name.
  returned: unless O(state=listed)
  type: str
kind:
  description: What was broken.
  returned: when there is such a fault
  type: str
settings:
  description: All options as they were understood.
  returned: when there is such a fault
  type: dict
facts:
  description: What was found before the fault was injected (interfaces, routes, process ids ...).
  returned: when there is such a fault
  type: dict
confirmed:
  description: Whether the fault was seen on the host after it was injected, V(null) when nobody could look.
  returned: when there is such a fault
  type: bool
evidence:
  description: What was seen, in a sentence. After O(state=healed) it is about the healing.
  returned: when there is such a fault
  type: str
started:
  description: When the first thing was broken, in seconds since 1970 by the host's clock.
  returned: when there is such a fault
  type: float
deadline:
  description: When the switch heals it.
  returned: when there is such a fault
  type: float
healed:
  description: When it was healed, V(null) when it is not.
  returned: when there is such a fault
  type: float
healed_by:
  description: C(module) or C(timer); C(hand) for who ran the healer.
  returned: when there is such a fault
  type: str
armed:
  description: The timer that runs, empty when there is none.
  returned: when there is such a fault
  type: str
whole:
  description: Whether nothing of the fault is left. V(false) is possible only when it had been healed before, otherwise the module fails.
  returned: O(state=healed) and there is such a fault
  type: bool
faults:
  description: All of them, with the values above.
  returned: O(state=listed)
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sipha.cluster.plugins.module_utils.drill import fault
from ansible_collections.sipha.cluster.plugins.module_utils.drill.fault_host import Host
from ansible_collections.sipha.cluster.plugins.module_utils.drill.fault_run import Faults


def main() -> None:
    texts = {"type": "list", "elements": "str"}
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["injected", "healed", "listed"], "default": "injected"},
            "name": {"type": "str"},
            "kind": {"type": "str", "choices": list(fault.KINDS)},
            "seconds": {"type": "float", "default": 60.0},
            "units": texts,
            "keep_down": {"type": "bool"},
            "addresses": texts,
            "skip_addresses": texts,
            "times": {"type": "int"},
            "period": {"type": "float"},
            "peers": texts,
            "protocols": texts,
            "ports": {"type": "list", "elements": "int"},
            "direction": {"type": "str", "choices": ["both", "in", "out"]},
            "loss": {"type": "float"},
            "delay": {"type": "float"},
            "jitter": {"type": "float"},
            "gateway": {"type": "str"},
            "directory": {"type": "path"},
            "leave": {"type": "int"},
            "allow_root": {"type": "bool"},
            "step": {"type": "float"},
        },
        required_if=[("state", "injected", ["name", "kind"]), ("state", "healed", ["name"])],
        supports_check_mode=True,
    )
    arguments = dict(module.params)
    state, faults = arguments.pop("state"), Faults(Host())
    try:
        if state == "listed":
            module.exit_json(changed=False, faults=faults.listed())
        if state == "healed":
            changed, result = faults.heal(arguments["name"], module.check_mode)
        else:
            changed, result = faults.inject(fault.load(arguments), module.check_mode)
    except fault.FaultError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or '/run/sipha-faults'}: {error.strerror}")
    module.exit_json(changed=changed, **result)


if __name__ == "__main__":
    main()
