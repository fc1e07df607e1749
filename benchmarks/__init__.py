"""Programs that measure; `tox -e bench` runs them. None of them is part of the tests."""
