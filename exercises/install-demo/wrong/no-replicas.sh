# Every object is there, and nobody at work.
istioctl install --set profile=demo -y
kubectl scale -n istio-system deployment/istiod --replicas=0
kubectl wait -n istio-system --for=delete pod -l app=istiod --timeout=60s
