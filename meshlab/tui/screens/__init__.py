"""Whole screens: the course, and the questions and texts that are laid over it. Each has a ``.tcss`` beside it."""
