"""A stand-in for Kiali: the traffic graph of the last minutes.

Every few seconds `scraping` reads the proxies' metrics into a `window`; a request for a graph turns the increase of the
counters into rates, `traffic` makes nodes and edges of them by Kiali's rules, and `cytoscape` writes Kiali's JSON.
Those three are pure. The real Kiali asks Prometheus instead; the rules are the same.
"""
