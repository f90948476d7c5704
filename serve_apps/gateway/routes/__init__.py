"""The REST resources, one module each, mounted twice: under ``/v1`` for a tenant's secret key, and under
``/internal/tenants/{tenant}`` for the operator.

A module builds an APIRouter from the parts and from the dependency that identifies the tenant; no handler knows which
of the two mounts it serves. No postponed annotations here: FastAPI has to see the dependencies made inside the
functions.
"""
