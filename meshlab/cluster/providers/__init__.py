"""Where clusters come from: the embedded lab, or whatever a kubeconfig names; `choice` says which one is meant."""
