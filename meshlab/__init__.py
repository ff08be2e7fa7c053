"""meshlab: learn service meshes by running one."""

__version__ = "0.1.0"
