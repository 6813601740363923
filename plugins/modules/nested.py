#!/usr/bin/python
"""Documentation of the action plugin nested."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nested
short_description: Run another playbook of this collection on the same inventory
version_added: 0.1.0
author: The sipha.cluster founders (@sipha)
description:
  - Starts C(ansible-playbook) on the controller with a playbook of this collection, on the same inventory and with the options of the
    running one, and tells how many tasks changed something. Failover drills move VIPs and look what is left to change with it.
  - Extra variables and passwords are handed on in files that only their owner can read, and that are removed.
  - Run it once, on C(localhost). This is an action plugin, nothing is copied to hosts.
options:
  playbook:
    description: File name of the playbook, for example C(site.yml).
    type: str
    required: true
  variables:
    description: Extra variables for it.
    type: dict
    default: {}
  without:
    description: Extra variables of the running playbook whose names begin with one of these are not handed on.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: none
    description: The task is skipped.
"""

EXAMPLES = r"""
- name: Nothing is left to do
  sipha.cluster.nested:
    playbook: site.yml
  register: again
  failed_when: again.rc != 0 or again.changes != 0
"""

RETURN = r"""
rc:
  description: Its exit code.
  type: int
  returned: when it ran
changes:
  description: How many tasks changed something, on all hosts.
  type: int
  returned: when it ran
hosts:
  description: The same for each host that was changed.
  type: dict
  returned: when it ran
begun:
  description: When it was started, in seconds since 1970.
  type: float
  returned: when it ran
ended:
  description: When it had ended.
  type: float
  returned: when it ran
output:
  description: The end of what it said.
  type: str
  returned: when it ran
"""
