"""Streams: from the one who produces chunks to those who read them."""
