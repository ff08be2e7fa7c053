"""The canary's solution as one types it; KEY stands for the label that tells the versions apart."""

SPLIT = """\
kubectl apply -f - <<'YAML'
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: myapp}
spec: {host: myapp, subsets: [{name: v1, labels: {KEY: v1}}, {name: v2, labels: {KEY: v2}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: myapp}
spec:
  hosts: [myapp]
  http:
  - route:
    - {destination: {host: myapp, subset: v1}, weight: 80}
    - {destination: {host: myapp, subset: v2}, weight: 20}
YAML
"""
