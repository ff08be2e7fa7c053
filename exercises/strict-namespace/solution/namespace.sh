# One object for the whole namespace.
kubectl apply -n {{ns.app}} -f strict.yaml
