# The module's line, from a manifest that you keep.
istioctl kube-inject -f deployment.yaml | kubectl apply -f -
kubectl rollout status -n {{ns.manual}} deployment/{{relic}} --timeout=90s
