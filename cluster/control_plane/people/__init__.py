"""The people of a tenant: members, the roles that say what each may do, and invitations.

All of it belongs to the tenant and counts in each of its environments. How people prove who they are is elsewhere.
"""
