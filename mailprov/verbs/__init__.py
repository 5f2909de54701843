"""What each verb does, once its options are read: functions that print and return an exit code."""
