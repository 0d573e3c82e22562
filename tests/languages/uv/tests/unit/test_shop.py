import shop


def test_three_cost_three_times_as_much() -> None:
    assert shop.total(2, 3) == 6
    assert shop.host("ä.example") == "xn--4ca.example"
