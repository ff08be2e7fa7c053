"""curl: the configuration for the host's, and a built-in one for hosts without.

The built-in has the options that the course uses, with curl's own exit codes and the texts that people look for. It
speaks HTTP/1.1 over plain TCP and TLS, directly or through an HTTP proxy, and keeps connections open between URLs.
"""
