"""Bookinfo's services (``istio/examples-bookinfo-*``): a page made of details, reviews and their ratings.

Each program has the paths, JSON, headers and timeouts of the image of that name; which version it is stands in the
environment, as in the images. The versions of ratings with a database say that the lab has none.
"""
