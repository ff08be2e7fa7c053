# The add-on goes again; it was not there before.
kubectl delete -f "$MESHLAB_SAMPLES/addons/kiali.yaml" --ignore-not-found --wait=true
kubectl wait -n istio-system --for=delete pod -l app=kiali --timeout=60s
