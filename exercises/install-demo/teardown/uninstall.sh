# Everything of Istio goes, also what belongs to no namespace. Where nothing is left, istioctl calls that an error.
istioctl uninstall --purge -y || true
kubectl delete namespace istio-system --ignore-not-found
