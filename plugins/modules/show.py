#!/usr/bin/python
"""Documentation of the action plugin show."""

from __future__ import annotations

DOCUMENTATION = r"""
module: show
short_description: Text for the person at the terminal, line by line as it is
version_added: 0.1.0
author: The sipha.cluster founders (@sipha)
description:
  - M(ansible.builtin.debug) shows text as the callback's JSON or YAML, which spoils tables and colours.
  - Colours (ANSI) stay when Ansible itself uses them, and are taken out where the output is no terminal.
  - This is an action plugin; it does nothing on a host.
options:
  text:
    description: The text.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show what every loss costs
  sipha.cluster.show:
    text: "{{ hostvars | sipha.cluster.whatif(groups) | sipha.cluster.whatif_table(colour=true) }}"
"""

RETURN = r"""# """
