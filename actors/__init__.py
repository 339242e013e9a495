"""Who says it: one family of actors per file or folder.

The folder is reached as ``understudy.actors`` through a link in ``src/understudy``. Imported under
its bare name it would be a second copy of every class, for which ``isinstance`` quietly fails; so
that is refused.
"""

if __name__ != "understudy.actors":
    raise ImportError(
        f"this folder is the package 'understudy.actors', imported here as {__name__!r}: "
        "write 'from understudy.actors import ...' (and keep the project's root off sys.path)"
    )
