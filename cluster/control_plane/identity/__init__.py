"""Who people and services are, and how they prove it: passwords, second factors, tokens, sessions, foreign issuers.

The control plane stores hashes of what callers present; only a signing key and a TOTP secret are kept in full. What a
caller may do is worked out anew whenever something of their tenant has changed (:mod:`.standing`), so whatever is taken
from them stops at once, however long their token would last.
"""
