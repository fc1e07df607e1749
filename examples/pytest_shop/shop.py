"""What is tested: a till that logs what it sells."""

from __future__ import annotations

import logging

log = logging.getLogger("shop")
PRICES = {"tea": 4, "book": 12}


def sell(item: str, paid: int) -> int:
    """Return the change."""
    price = PRICES[item]
    if paid < price:
        log.error("too little was paid", extra={"missing": price - paid})
        return paid
    log.info("sold %s", item, extra={"price": price})
    return paid - price
