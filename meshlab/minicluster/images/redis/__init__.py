"""``redis``: the part of Redis that a counter needs, kept in memory, spoken over RESP2.

`store` holds keys and judges commands, `protocol` reads and writes them, `server` and `cli` are the programs.
"""
