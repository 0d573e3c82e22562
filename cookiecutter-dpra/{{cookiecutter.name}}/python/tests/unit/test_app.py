import json

import pytest

import app


def order(*items: tuple[int, int]) -> dict:
    return {"items": [{"price": price, "quantity": quantity} for price, quantity in items]}


def request(method: str, path: str, body: object = None) -> dict:
    return {"rawPath": path, "requestContext": {"http": {"method": method}}, "body": json.dumps(body)}


def test_a_quote_adds_up_the_items():
    assert app.quote(order((100, 2), (50, 1)))["total"] == 250


def test_ten_pieces_cost_a_tenth_less():
    assert app.quote(order((100, 9)))["total"] == 900
    assert app.quote(order((100, 10)))["total"] == 900


@pytest.mark.parametrize("bad", [{}, {"items": []}, order((-1, 1)), order((1, 0)), {"items": [{"price": "1"}]}])
def test_a_bad_order_is_refused(bad):
    with pytest.raises(app.InvalidOrder):
        app.quote(bad)


def test_the_api_answers():
    assert app.handler(request("GET", "/health"), None)["statusCode"] == 200
    assert app.handler(request("POST", "/quote", order((100, 1))), None)["statusCode"] == 200
    assert app.handler(request("POST", "/quote", {}), None)["statusCode"] == 400
    assert app.handler(request("POST", "/quote", []), None)["statusCode"] == 400
    assert app.handler(request("GET", "/"), None)["statusCode"] == 404
