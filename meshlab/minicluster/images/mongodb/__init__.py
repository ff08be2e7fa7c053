"""A MongoDB in memory and a client of it, as far as Bookinfo's ratings need.

Drivers connect, insert, find, update and delete. There is no authentication, no index and no aggregation; a command
that is not there is answered as unknown. Source: the MongoDB wire protocol (OP_MSG) and the BSON specification 1.1.
"""
