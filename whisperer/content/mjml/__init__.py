"""MJML: read, checked by a strict table of components, and compiled to the HTML that mail programs show.

The compiler (``mjml-python``) passes unknown elements through, drops unknown attributes in silence and refuses HTML
that is not XML. So a document is read and checked here first, and the compiler is given only the structure: what
elements hold as HTML goes around it and comes out byte for byte.
"""
