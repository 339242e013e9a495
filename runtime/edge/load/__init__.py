"""Load on agents: what is asked when (`plan`), asking it (`drive`), what came of it (`tally`)."""
