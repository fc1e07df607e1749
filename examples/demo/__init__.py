"""The main job, shown: a real application's records on their way into a collector's database.

`python -m examples.demo` starts a collector and the application, each record of which is looked
up in the database afterwards.
"""
