"""GitHub, as its REST API tells it."""
