"""The rooms of a `Plan`: what is derived from a spec, what is under way, joins, loops. All pure."""
