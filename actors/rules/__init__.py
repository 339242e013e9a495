"""Rules: pure functions that several families need.

Nothing here knows an actor, a thread, a clock or a file: the same input gives the same output in
every process, so the kernel may call these on any dispatcher and the simulation may replay them.
"""
