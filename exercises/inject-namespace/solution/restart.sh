# The label for all pods to come, then new pods for all that run.
kubectl label namespace {{ns.shop}} istio-injection=enabled
kubectl rollout restart -n {{ns.shop}} deployment
kubectl rollout status -n {{ns.shop}} deployment --timeout=90s
