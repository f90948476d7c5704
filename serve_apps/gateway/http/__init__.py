"""Speak HTTP: keys and whose they are, problems as documents, bodies, pages of lists, what is observed of requests."""
