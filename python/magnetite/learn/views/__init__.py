"""What an example may be made to look like: functions of ids or states, keyed by example."""
