"""A repository that is there, or one that is made: what it is, and its first dpra.yml."""
