# Kiali runs, and nobody calls anybody.
kubectl apply -f "$MESHLAB_SAMPLES/addons/kiali.yaml"
kubectl rollout status -n istio-system deployment/kiali --timeout=90s
