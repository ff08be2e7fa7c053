# Traffic from a pod without a sidecar: nobody knows its name.
kubectl apply -f "$MESHLAB_SAMPLES/addons/kiali.yaml"
kubectl rollout status -n istio-system deployment/kiali --timeout=90s
kubectl exec -n {{ns.app}} deploy/visitor -c curl -- \
  curl -s -o /dev/null "http://{{one}}/?n=[1-60]" -o /dev/null "http://prices/?n=[1-60]"
