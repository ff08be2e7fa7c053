# The same split in other words: weights are relative, subsets may have any name, and the API any served version.
kubectl apply -n {{ns.app}} -f - <<'YAML'
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata:
  name: two-versions
spec:
  host: myapp.{{ns.app}}.svc.cluster.local
  subsets:
  - name: stable
    labels: {"{{key}}": v1}
  - name: canary
    labels: {"{{key}}": v2}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: fourth-to-one
spec:
  hosts: [myapp]
  http:
  - route:
    - {destination: {host: myapp, subset: stable}, weight: 4}
    - {destination: {host: myapp, subset: canary}, weight: 1}
YAML
