"""dpra.yml: its language (models), its reader and its JSON Schema."""
