# The module's own command.
istioctl install --set profile=demo -y
