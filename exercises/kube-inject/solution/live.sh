# The same from what the cluster has: no file at all.
kubectl get deployment {{relic}} -n {{ns.manual}} -o yaml | istioctl kube-inject -f - | kubectl apply -f -
kubectl rollout status -n {{ns.manual}} deployment/{{relic}} --timeout=90s
