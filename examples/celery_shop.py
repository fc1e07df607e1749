"""A Celery worker: what tasks log, what Celery logs about them, and how they fail.

    NUCLEUS_APP_ID=shop python -m celery -A examples.celery_shop worker --loglevel INFO
    python -m examples.celery_shop tea book

Celery sets up logging by itself, in the parent and again in each process of its pool; its signals
hand over the loggers when it has.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from celery import Celery
from celery.signals import after_setup_logger, after_setup_task_logger
from celery.utils.log import get_task_logger

import nucleus_logging

if TYPE_CHECKING:
    import logging

FOLDER = os.environ.get("SHOP_BROKER", "broker")
os.makedirs(FOLDER, exist_ok=True)
app = Celery("shop", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": FOLDER,
        "data_folder_out": FOLDER,
        "control_folder": os.path.join(FOLDER, "control"),
    },
    broker_connection_retry_on_startup=False,
)
log = get_task_logger(__name__)
PRICES = {"tea": 4, "book": 12}


@after_setup_logger.connect
@after_setup_task_logger.connect
def ship(logger: logging.Logger, **_: object) -> None:
    """Send what is logged by Celery, by tasks, and by all else."""
    nucleus_logging.attach(logger, level="INFO")


@app.task
def deliver(item: str, customer: str) -> None:
    """Deliver an item; one that there is not is a KeyError, which Celery logs."""
    with nucleus_logging.user(customer):
        log.info("delivered %s", item, extra={"price": PRICES[item]})


if __name__ == "__main__":
    for wanted in sys.argv[1:]:
        # By name: run as a program, this module is not called what the worker calls it.
        app.send_task("examples.celery_shop.deliver", (wanted, "ada"))
