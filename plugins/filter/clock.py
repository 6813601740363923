"""Filter clock_report: compare the clocks of hosts from the samples that clock_sample took."""

from __future__ import annotations

DOCUMENTATION = r"""
name: clock_report
short_description: Compare the clocks of hosts
version_added: 0.1.0
author: The sipha.cluster founders (@sipha)
description:
  - Takes the samples that M(sipha.cluster.clock_sample) took on every host and tells how far their clocks are apart.
positional: max_skew
options:
  _input:
    description: Samples by host name, each a list of C([before, remote, after]).
    type: dict
    required: true
  max_skew:
    description: How far two clocks may be apart, in seconds.
    type: float
    required: true
"""

EXAMPLES = r"""
- name: Compare the clocks
  ansible.builtin.assert:
    that: (samples | sipha.cluster.clock_report(0.5)).verdict == 'ok'
"""

RETURN = r"""
_value:
  description:
    - C(verdict) (C(ok), C(skewed) or C(uncertain)), C(message), C(hosts) (those whose clock is off), C(worst) (the two
      hosts that are farthest apart, with offset and uncertainty in seconds) and C(uncertainty) by host.
  type: dict
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.sipha.cluster.plugins.module_utils.clock import report


def clock_report(samples: Mapping[str, Sequence[Sequence[float]]], max_skew: float) -> dict[str, Any]:
    try:
        taken = {
            str(host): [(float(before), float(remote), float(after)) for before, remote, after in one] for host, one in samples.items()
        }
        return report(taken, float(max_skew))
    except (ValueError, TypeError, AttributeError) as error:
        raise AnsibleFilterError(f"clock_report: {error}") from error


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"clock_report": clock_report}
