"""The streaming subresources of a pod: log, exec, attach and portforward.

In flows a request that the API server has already authenticated, authorized and matched to a pod; out flow bytes of
the pod, in whichever dialect the client speaks: chunked text for logs, channels over a WebSocket or SPDY/3.1 streams
for the rest. What the bytes mean to a pod is behind `backend.PodBackend`, which the node implements.
"""
