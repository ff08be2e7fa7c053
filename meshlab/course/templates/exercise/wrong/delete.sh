# Deleted, to be made anew, and forgotten.
kubectl delete configmap greeting -n {{ns.app}}
