"""What commands read of the documents that the server answers or the control plane makes, a module a resource.

Each Struct has the fields that a command shows; the rest of a document is ignored here, and printed by ``--json``.
docs/api.md and docs/operations.md say what the fields mean.
"""
