def test_a_customer_who_buys_ten_pays_a_tenth_less(call):
    status, answer = call("POST", "/quote", {"items": [{"price": 250, "quantity": 10}]})
    assert (status, answer["total"]) == (200, 2250)
