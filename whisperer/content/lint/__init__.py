"""Find what is wrong, or could be better, in a message before anybody gets it.

A check is a function in a module of its subject, listed in :mod:`whisperer.content.lint.checks`. It is pure: the same
template and the same message always give the same findings.
"""
