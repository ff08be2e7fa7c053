"""istiod: what its process does, part by part. `meshlab.minicluster.mesh.istio.discovery` puts the parts together.

What flows in: the cluster's objects, by watches through the Kubernetes API. What flows out: Envoy configuration and
certificates to every proxy that has proved its identity, answers to the injection and validation webhooks, the root
certificate in every namespace, the CA bundle in the webhook configurations.
"""
