"""Control planes: mesh resources become one neutral model, the model becomes Envoy configuration, and xDS delivers it."""
