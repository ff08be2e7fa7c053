# Subsets first, then the route that names them: in this order no request finds a gap.
kubectl apply -n {{ns.app}} -f destinationrule.yaml
kubectl apply -n {{ns.app}} -f virtualservice.yaml
