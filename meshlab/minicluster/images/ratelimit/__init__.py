"""``envoyproxy/ratelimit``: the reference implementation of Envoy's rate limit service, with its files and its keys.

`config` reads what may be asked how often, `limiter` counts in Redis, `server` is the program. Fixed windows, as
upstream: a window of a minute begins with each minute of the clock.
"""
