"""Catalogues: a tenant's own items, such as products, from which a template picks some for one message.

A catalogue is loaded as a whole before anything is rendered, so that picking asks nobody.
"""
