kubectl apply -f thing.yaml
