"""The checks of the default course, one module per family; each registers its checks when loaded.

``traffic`` and ``http`` judge what clients get, ``installation`` and ``probe`` the mesh itself, ``injection``
sidecars, ``identity`` and ``mtls`` who speaks to whom and how, ``kiali`` the graph, ``answers`` what a learner hands
in. ``pods``, ``webhooks``, ``clients`` and ``proxies`` are what they read the cluster with.
"""
