"""Control plane: tenants, API keys and published configuration, in SQLite or PostgreSQL.

Few rows that change rarely, read by everything: hence a relational database behind one repository class, and one
version counter that readers poll instead of the tables.
"""

from cluster.control_plane.repository import ControlPlane, KeyInfo, KeyRecord, NewKey, Segment, Tenant

__all__ = ["ControlPlane", "KeyInfo", "KeyRecord", "NewKey", "Segment", "Tenant"]
