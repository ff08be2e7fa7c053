"""Istio: its resources translated into the neutral model, its webhooks, and the programs of its images."""
