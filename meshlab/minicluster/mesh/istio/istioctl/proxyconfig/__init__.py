"""``istioctl proxy-config``: what an Envoy has been told, read from its own ``config_dump``.

`dump` finds the resources in a dump, `tables` prints them as people read them, `output` as machines do. All of it
works on a file as well (``--file``), so a dump of any Envoy can be read.
"""
