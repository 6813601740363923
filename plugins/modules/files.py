#!/usr/bin/python
"""Documentation of the action plugin files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: files
short_description: Several files of one host, with one look at those that are there
version_added: 0.1.0
author: The sipha.cluster founders (@sipha)
description:
  - Renders all files on the controller, asks the host once for checksums, owners and modes, and has
    M(ansible.builtin.copy) and M(ansible.builtin.file) make what differs, one after the other in the order of the list.
  - A run in which nothing differs costs one command on the host instead of two module runs for every file.
  - This is an action plugin. It supports check mode and diff mode. The host needs C(stat) and C(sha256sum) of GNU coreutils.
options:
  files:
    description: The files, parents before children.
    type: list
    elements: dict
    required: true
    suboptions:
      dest:
        description: Absolute path on the host.
        type: str
        required: true
      template:
        description: A template of the role. Exactly one of O(files[].template), O(files[].copy), O(files[].content), O(files[].directory).
        type: str
      copy:
        description: A text file (UTF-8) of the role.
        type: str
      content:
        description: The text itself.
        type: str
      directory:
        description: Make a directory.
        type: bool
        default: false
      owner:
        description: Owner, by name.
        type: str
        default: root
      group:
        description: Group, by name.
        type: str
        default: root
      mode:
        description: Octal, V(0644) for a file and V(0755) for a directory unless set.
        type: str
      validate:
        description: Command that must accept the new file (C(%s)) before it replaces the old one.
        type: str
      diff:
        description: Show what differs in diff mode; V(false) where secrets are in the file.
        type: bool
        default: true
"""

EXAMPLES = r"""
- name: The unit's settings and the program's
  sipha.cluster.files:
    files:
      - {dest: /etc/systemd/system/haproxy.service.d, directory: true}
      - {dest: /etc/systemd/system/haproxy.service.d/sipha.conf, template: haproxy.conf.j2}
      - {dest: /etc/haproxy/haproxy.cfg, template: haproxy.cfg.j2, group: haproxy, mode: "0640", validate: haproxy -c -q -f %s}
  register: written
"""

RETURN = r"""
changed_files:
  description: Paths of what was made or changed, in the order of the list.
  returned: success
  type: list
  elements: str
"""
