"""The course on a screen: reading, typing and watching verdicts turn green in one terminal.

A `meshlab.grading.session.Session` and a course flow in; keys and pixels flow out. Everything that is decided (what is
right, what comes next, what is recorded) is decided below; widgets here only show it and pass on what a person did, so
whatever the screen can do, the command line can do too.
"""
