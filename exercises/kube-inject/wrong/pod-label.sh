# Injected by the webhook again, this time because the pod asks for it.
kubectl patch -n {{ns.manual}} deployment {{relic}} --type=merge \
  -p '{"spec":{"template":{"metadata":{"labels":{"sidecar.istio.io/inject":"true"}}}}}'
kubectl rollout status -n {{ns.manual}} deployment/{{relic}} --timeout=90s
