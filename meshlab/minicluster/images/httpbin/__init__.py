"""``mccutchen/go-httpbin`` 2: what a client sent, told back; statuses, delays and bodies to order.

`server` reads flags and logs, `routes` is the table of endpoints, `echo` tells requests back, `bodies` makes bodies,
`responses` writes JSON as Go does. Paths, shapes and messages: the project's README and its API as served.
"""
