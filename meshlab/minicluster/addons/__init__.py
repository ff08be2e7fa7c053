"""Stand-ins for the mesh's add-ons: programs with the real ones' names, ports and APIs, in pods like any other.

They come from the same manifests as the real ones, hold a ServiceAccount, and learn everything from the API server and
from what the proxies serve. What flows out is the real product's JSON, and a page of our own that says what it is.
"""
