"""Pools: workers that share a bounded queue, or stick to keys."""
