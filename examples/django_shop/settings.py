"""The project's settings; what has to do with Nucleus is one handler in ``LOGGING``.

Django's own loggers hand their records up to the root, so that failing views arrive as errors.
"""

from __future__ import annotations

import os
from pathlib import Path

DEBUG = True
SECRET_KEY = "only an example's"
ROOT_URLCONF = "examples.django_shop.urls"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "examples.django_shop.middleware.nucleus_user",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SHOP_DATABASE", "shop.db"),
    }
}
LOGIN_REDIRECT_URL = "/"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {
        "nucleus": {"class": "nucleus_logging.NucleusHandler"},
    },
    "root": {"level": "INFO", "handlers": ["nucleus"]},
}
