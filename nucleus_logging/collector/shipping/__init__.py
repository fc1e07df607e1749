"""Sending what is already in log files: their forms, following them, going on where one stopped.

``moments`` reads dates, ``formats`` and ``plain`` make entries of lines, ``source`` reads lines
with their places in the file, ``bookmark`` remembers the place, ``ship`` is the command.
"""
