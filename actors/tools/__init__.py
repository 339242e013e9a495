"""Tools: functions that a model may call, and how they are called."""
