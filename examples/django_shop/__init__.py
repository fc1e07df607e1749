"""A Django project: settings, middleware and views."""
