# Looked at and admired, but never given to the cluster.
kubectl get deployment {{relic}} -n {{ns.manual}} -o yaml > deployment.yaml
istioctl kube-inject -f deployment.yaml > injected.yaml
grep -q istio-proxy injected.yaml
