"""Providers of models: one file per wire format, over one HTTP seam.

Nothing is imported here, and httpx and httpcore only by the modules that move bytes (`transport`,
`sockets`, `exchange`), which are themselves imported when a provider is first made: `import
understudy` pays for none of it.
"""
