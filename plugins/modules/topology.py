#!/usr/bin/python
"""Documentation of the action plugin topology."""

from __future__ import annotations

DOCUMENTATION = r"""
module: topology
short_description: The cluster that an inventory describes, what is wrong with it, and its picture
version_added: 0.1.0
author: The sipha.cluster founders (@sipha)
description:
  - Builds the topology model from the whole inventory and judges it by all rules. Takes nothing, changes nothing.
  - Connects to no host; run it once, on V(localhost) or with C(run_once).
  - Findings are returned and never make it fail. Role C(topology) is what stops a play at an inventory that can't work.
  - This is an action plugin, nothing is copied to the host.
options: {}
attributes:
  check_mode:
    support: full
    description: The same, since it changes nothing.
"""

EXAMPLES = r"""
- name: Look at the cluster
  sipha.cluster.topology:
  register: cluster

- name: Write the model for other programs
  ansible.builtin.copy:
    dest: cluster.json
    content: "{{ cluster.topology | to_nice_json }}\n"
    mode: "0644"

- name: Stop at errors
  ansible.builtin.assert:
    that: cluster.findings | selectattr('severity', 'eq', 'error') | length == 0
    fail_msg: "{{ cluster.findings | map(attribute='text') | join('; ') }}"
"""

RETURN = r"""
topology:
  description: The model, as the filter P(sipha.cluster.topology#filter) returns it.
  returned: always
  type: dict
findings:
  description: What is wrong, as the filter P(sipha.cluster.findings#filter) returns it, errors first.
  returned: always
  type: list
  elements: dict
sockets:
  description: The SIP sockets of every proxy, as the filter P(sipha.cluster.sockets#filter) returns them.
  returned: always
  type: dict
  sample: {sip1: ["udp:198.18.10.10:5060", "tcp:198.18.10.10:5060", "udp:198.18.20.11:5060"]}
peers:
  description: The unicast VRRP peers of every proxy, as the filter P(sipha.cluster.peers#filter) returns them.
  returned: always
  type: dict
  sample: {sip1: [198.18.10.12]}
mermaid:
  description: The picture as a Mermaid flowchart.
  returned: always
  type: str
dot:
  description: The picture in the language of graphviz.
  returned: always
  type: str
"""
