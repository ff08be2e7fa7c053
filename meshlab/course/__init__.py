"""Lessons, exercises and progress: what the course says and what a learner did, without a cluster or a screen.

Files of a course flow in (``lessons/*.md``, ``exercises/*/exercise.yaml``); frozen models flow out. Nothing here knows
how a task is judged: a check is a name with parameters, and `meshlab.grading` runs it.
"""
