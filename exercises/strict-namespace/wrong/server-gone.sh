# Nobody is refused where nobody is there: silence is not security.
kubectl scale -n {{ns.app}} deployment/{{service}} deployment/prices --replicas=0
kubectl wait -n {{ns.app}} --for=delete pod -l app={{service}} --timeout=60s
