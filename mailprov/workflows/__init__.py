"""What a command sets in motion: hosts looked at, planned for, changed, confirmed."""
