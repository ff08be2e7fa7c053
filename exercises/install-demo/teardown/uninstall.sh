# Everything of Istio goes, also what belongs to no namespace. Where nothing is left, istioctl calls that an error.
istioctl uninstall --purge -y || true
kubectl delete namespace istio-system --ignore-not-found
# istiod makes these itself, so the uninstallation does not know them.
if kubectl get crd gatewayclasses.gateway.networking.k8s.io >/dev/null 2>&1; then
    kubectl delete gatewayclass istio istio-remote --ignore-not-found
fi
