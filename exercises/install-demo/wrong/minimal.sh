# Only the control plane: this profile has no gateways.
istioctl install --set profile=minimal -y
