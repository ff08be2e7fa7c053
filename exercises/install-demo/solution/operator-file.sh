# The same as a file, which can be kept beside your other manifests and be installed again.
istioctl install -y -f operator.yaml
