"""``fortio/fortio``: the load generator of upstream's tasks (``load``, ``curl``) and its echo server (``server``).

Results are printed in Fortio's own form, which tasks and scripts read: histograms, sockets, one line per status code.
"""
