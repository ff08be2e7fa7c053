"""The embedded cluster: a Kubernetes API server, its controllers and one node, in a single asyncio loop.

It imports nothing of meshlab above it and is reached only as a process that serves the Kubernetes API. What flows
in are Kubernetes requests; what flows out are Kubernetes answers, and pods that run as local processes.
"""
