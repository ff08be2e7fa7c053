"""The checks of the default course, by family: traffic, http, istio. Each module registers its checks when loaded."""
