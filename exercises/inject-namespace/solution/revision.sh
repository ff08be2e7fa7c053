# By revision, as one does where several control planes run side by side; the default one is called default.
kubectl label namespace {{ns.shop}} istio.io/rev=default
kubectl rollout restart -n {{ns.shop}} deployment
kubectl rollout status -n {{ns.shop}} deployment --timeout=90s
