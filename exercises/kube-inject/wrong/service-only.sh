# A Service has no pod template: kube-inject passes it through as it is.
kubectl get service {{relic}} -n {{ns.manual}} -o yaml | istioctl kube-inject -f - | kubectl apply -f -
