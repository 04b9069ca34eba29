"""Time, tasks and waiting, passed in as objects: nothing here knows DNS."""
