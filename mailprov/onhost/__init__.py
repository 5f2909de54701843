"""POSIX sh that runs on hosts: what is asked, what a transaction does, and the test account."""
