"""The API under /api/v1: one record an operation, from which routes and document are made."""
