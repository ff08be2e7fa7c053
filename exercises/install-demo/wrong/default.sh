# The profile for production: an ingress gateway, and no egress gateway.
istioctl install --set profile=default -y
