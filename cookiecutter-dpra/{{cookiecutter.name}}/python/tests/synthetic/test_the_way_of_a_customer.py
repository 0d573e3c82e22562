def test_the_way_of_a_customer_works_again_and_again(call):
    for quantity in range(1, 6):
        assert call("GET", "/health")[0] == 200
        status, answer = call("POST", "/quote", {"items": [{"price": 100, "quantity": quantity}]})
        assert (status, answer["total"]) == (200, 100 * quantity)
