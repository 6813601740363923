"""Reads, judges and compares scripts of the engine. Runs on the controller only: it needs the parser library lark."""
