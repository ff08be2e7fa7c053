"""Checks of the course that tests of the screen use; none of them is ever run."""
