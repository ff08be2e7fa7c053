"""nginx: static files and fixed answers, from the simple part of nginx's own configuration language.

`syntax` reads the language, `config` turns blocks into servers and locations (an unknown directive is nginx's own
emerg line), `server` serves them. What a file may say is the table `config.DIRECTIVES`.
"""
