# Four pods of v1 and one of v2: the mix looks right, and moves with every replica.
kubectl scale -n {{ns.app}} deployment/myapp-v1 --replicas=4
kubectl rollout status -n {{ns.app}} deployment/myapp-v1 --timeout=60s
