# One object for each workload: the same effect today, and a new workload would be forgotten.
for name in {{service}} prices; do
  kubectl apply -n {{ns.app}} -f - <<YAML
apiVersion: security.istio.io/v1beta1
kind: PeerAuthentication
metadata:
  name: $name-strict
spec:
  selector:
    matchLabels: {app: $name}
  mtls: {mode: STRICT}
YAML
done
