# The add-on, then some traffic from the caller's own pod. In a terminal a loop would go on while you look.
kubectl apply -f "$MESHLAB_SAMPLES/addons/kiali.yaml"
kubectl rollout status -n istio-system deployment/kiali --timeout=90s
kubectl exec -n {{ns.app}} deploy/{{caller}} -c curl -- \
  curl -s -o /dev/null "http://{{one}}/?n=[1-60]" -o /dev/null "http://{{two}}/?n=[1-60]" -o /dev/null "http://prices/?n=[1-60]"
