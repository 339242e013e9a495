"""Providers of models: one file per wire format, over one HTTP seam.

Nothing is imported here, and httpx, httpcore and h11 only by the modules that move bytes (`seam`,
`transport`, `http1`, `exchange`), which are themselves imported when a provider is first made:
`import understudy` pays for none of it.
"""
