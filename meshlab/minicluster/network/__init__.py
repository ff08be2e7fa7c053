"""Addresses inside 127/8, what is bound behind them, names, and the plain L4 path of pods without a sidecar.

A pod's IP is *nominal*: the API, EDS and the learner see it, and on Linux it is a real loopback address. Only a port
may differ: one below 1024, or one that a host process holds on every address, is really bound elsewhere (`PortMap`).
"""
