"""The command line: one module per command group; argument parsing here, the work below."""
