"""Published backtesters on our jobs: each script runs in a Python of its own that has the rival.

`room.py` makes those Pythons and asks them; every other module is run by one of them, reads a folder
with the job, and prints one line of JSON: seconds of the first and of later runs, final equity, trades.
"""
