# An installation with another profile is changed by installing again: what is missing comes, what is there stays.
istioctl install --set profile=minimal -y
istioctl install --set profile=demo -y
