# The usual way; the pods are injected, and the manifest knows nothing of it.
kubectl label namespace {{ns.manual}} istio-injection=enabled
kubectl rollout restart -n {{ns.manual}} deployment/{{relic}}
kubectl rollout status -n {{ns.manual}} deployment/{{relic}} --timeout=90s
