def test_the_deployed_api_answers(call):
    assert call("GET", "/health") == (200, {"status": "ok"})


def test_the_deployed_api_refuses_a_bad_order(call):
    status, answer = call("POST", "/quote", {"items": []})
    assert status == 400
    assert "items" in answer["error"]
