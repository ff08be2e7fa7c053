"""Control planes: mesh resources become one neutral model, the model Envoy configuration, and xDS delivers it."""
