"""Runs on the proxies as /usr/lib/sipha/node, with nothing but Python's standard library. Tests and modules import the same code."""
