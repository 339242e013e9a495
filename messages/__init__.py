"""What is said: frozen msgspec structs, specs and errors, data and nothing else.

The folder is reached as ``understudy.messages`` through a link in ``src/understudy``. Imported
under its bare name it would be a second copy of every class, for which ``isinstance`` quietly
fails; so that is refused.
"""

if __name__ != "understudy.messages":
    raise ImportError(
        f"this folder is the package 'understudy.messages', imported here as {__name__!r}: "
        "write 'from understudy.messages import ...' (and keep the project's root off sys.path)"
    )
