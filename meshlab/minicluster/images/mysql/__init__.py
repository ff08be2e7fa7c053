"""A MySQL server over an SQLite database in memory, and a client of it, as far as Bookinfo's ratings need.

`packets` is the protocol (MySQL Internals Manual, client/server protocol 4.1), `database` runs statements, `server` and
`client` are the two ends. Authentication is mysql_native_password; no TLS, no prepared statements.
"""
