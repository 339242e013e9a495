"""Who decides: supervision, pools, plans, configuration and the Runtime itself.

The folder is reached as ``understudy.runtime`` through a link in ``src/understudy``. Imported under
its bare name it would be a second copy of every class, for which ``isinstance`` quietly fails; so
that is refused.
"""

if __name__ != "understudy.runtime":
    raise ImportError(
        f"this folder is the package 'understudy.runtime', imported here as {__name__!r}: "
        "write 'from understudy.runtime import ...' (and keep the project's root off sys.path)"
    )
