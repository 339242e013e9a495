"""A quick benchmark of this machine: what things cost beside their floors, and what they weigh."""
