# The services were restarted, the client was not.
kubectl label namespace {{ns.shop}} istio-injection=enabled
kubectl rollout restart -n {{ns.shop}} deployment/{{service}} deployment/prices
kubectl rollout status -n {{ns.shop}} deployment --timeout=90s
