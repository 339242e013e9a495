"""The stage: actors, their mailboxes and lives, the dispatchers they run on.

Read in this order: `actor` (what users write), `ref` and `reply` (what they hold), `mailbox`,
    `life` and `ending` (what a cell does), `dispatchers` (where it runs), `system` (what cells
    share).
"""
