"""A quote service: how much an order costs. Runs in AWS Lambda behind an HTTP API."""

import base64
import json
import logging
from typing import Any

logger = logging.getLogger()
logger.setLevel(logging.INFO)

MOST_ITEMS = 100


class InvalidOrder(ValueError):
    """The order cannot be quoted; the text tells the caller why."""


def quote(order: dict[str, Any]) -> dict[str, Any]:
    """The price of an order, in cents.

    Ten or more pieces of one item cost a tenth less.
    """
    items = order.get("items")
    if not isinstance(items, list) or not 0 < len(items) <= MOST_ITEMS:
        raise InvalidOrder(f"items: a list of 1 to {MOST_ITEMS}")
    total = 0
    for item in items:
        price, quantity = item.get("price"), item.get("quantity")
        if not isinstance(price, int) or not isinstance(quantity, int) or price < 0 or quantity < 1:
            raise InvalidOrder("price and quantity: whole numbers, cents and pieces")
        cost = price * quantity
        total += cost - cost // 10 if quantity >= 10 else cost
    return {"total": total, "currency": "EUR"}


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answers one request of the HTTP API (payload format 2.0)."""
    route = (event["requestContext"]["http"]["method"], event["rawPath"])
    if route == ("GET", "/health"):
        return _answer(200, {"status": "ok"})
    if route != ("POST", "/quote"):
        return _answer(404, {"error": "there is POST /quote and GET /health"})
    try:
        body = event.get("body") or ""
        order = json.loads(base64.b64decode(body) if event.get("isBase64Encoded") else body)
        if not isinstance(order, dict):
            raise InvalidOrder("a JSON object")
        result = quote(order)
    except (InvalidOrder, ValueError, AttributeError) as error:
        logger.info("refused: %s", error)
        return _answer(400, {"error": str(error)})
    logger.info("quoted: %d", result["total"])
    return _answer(200, result)


def _answer(status: int, body: dict[str, Any]) -> dict[str, Any]:
    return {"statusCode": status, "headers": {"content-type": "application/json"}, "body": json.dumps(body)}
