"""The doors: how people and other programs come in. Nothing imports this but the console script."""
