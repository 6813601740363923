"""Runs inside a lab host: a SIP phone that really talks (RTP and RTCP). Commands as JSON lines in, reports as JSON lines out.

One process is one phone with at most one call. It needs the standard library and ../../sip_text.py beside it, nothing else.
"""
