#!/usr/bin/python
"""Documentation of the action plugin clock_sample."""

from __future__ import annotations

DOCUMENTATION = r"""
module: clock_sample
short_description: Ask a host for its clock, between two looks at the controller's clock
version_added: 0.1.0
author: The sipha.cluster founders (@sipha)
description:
  - Runs C(date) on the host several times and notes the controller's monotonic clock before and after each answer, so
    that the filter P(sipha.cluster.clock_report#filter) can bound how far two hosts' clocks are apart.
  - Independent of what a time daemon says about itself. Changes nothing; runs in check mode too.
  - This is an action plugin, nothing is copied to the host.
options:
  samples:
    description: How many times to ask at most.
    type: int
    default: 10
  enough:
    description: Stop asking as soon as the offset is known this well, in seconds (half the width of the interval).
    type: float
    default: 0.05
"""

EXAMPLES = r"""
- name: Ask the host for its clock
  sipha.cluster.clock_sample:
    samples: 10
  register: clock
"""

RETURN = r"""
samples:
  description: One C([before, remote, after]) for each answer, seconds.
  returned: success
  type: list
  elements: list
uncertainty:
  description: How well these samples bound the offset, seconds.
  returned: success
  type: float
"""
