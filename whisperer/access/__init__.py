"""Who may do what: permissions, the roles that bundle them, and what a key may do.

Pure data, below everything. Who a caller is, is found by the gateway; which member has which role is stored by the
control plane.
"""
