"""Who makes a cluster: each provider yields a kubeconfig, and nothing else crosses the seam."""
