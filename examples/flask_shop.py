"""A Flask application, run by ``NUCLEUS_APP_ID=shop python -m examples.flask_shop --port 5000``.

What it logs, and the errors of its views, carry the visitor's user id.
"""

from __future__ import annotations

import argparse
import logging.config
from contextlib import ExitStack

from flask import Flask, Response, g, request, session

from nucleus_logging import user

logging.config.dictConfig(
    {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {
            "console": {"class": "logging.StreamHandler"},
            "nucleus": {"class": "nucleus_logging.NucleusHandler"},
        },
        "root": {"level": "INFO", "handlers": ["console", "nucleus"]},
        # Its access log has address and time in what would name the events; `answered` is ours.
        "loggers": {"werkzeug": {"level": "WARNING"}},
    }
)
app = Flask(__name__)
app.secret_key = "only an example's"
PRICES = {"tea": 4, "book": 12}


@app.before_request
def enter() -> None:
    """Let what this request logs carry its user, the error that ends it included."""
    g.context = ExitStack()
    g.context.enter_context(user(session.get("user")))


@app.teardown_request
def leave(_: BaseException | None) -> None:
    """Undo `enter`."""
    if "context" in g:
        g.context.close()


@app.after_request
def answered(response: Response) -> Response:
    """Log the request, by the rule that it matched and not by its path: few names, no ids."""
    app.logger.info("%s %s: %d", request.method, request.url_rule, response.status_code)
    return response


@app.post("/login/<name>")
def login(name: str) -> str:
    """Sign in; a real shop asks for a password."""
    session["user"] = name
    app.logger.info("signed in")
    return "welcome\n"


@app.post("/buy/<item>")
def buy(item: str) -> str:
    """Sell an item; one that there is not is a KeyError, which Flask logs."""
    price = PRICES[item]
    app.logger.info("bought %s", item, extra={"price": price})
    return f"{price}\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="a shop")
    parser.add_argument("--port", type=int, default=5000)
    app.run(port=parser.parse_args().port)
