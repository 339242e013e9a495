"""Functions that a workflow names by import path, as in `understudy.tools.digest:write_digest`."""
