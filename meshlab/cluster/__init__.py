"""The seam: everything above the cluster reaches it through a kubeconfig, whatever stands behind it."""
