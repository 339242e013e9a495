"""The performance guide's checklist against a configuration: one `Point` for each of its lines."""
