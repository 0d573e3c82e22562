import assert from "node:assert/strict";
import { test } from "node:test";

import { call } from "../call.js";

test("the way of a customer works again and again", async () => {
  for (let quantity = 1; quantity <= 5; quantity += 1) {
    const [health] = await call("GET", "/health");
    assert.equal(health, 200);
    const [status, { total }] = await call("POST", "/quote", { items: [{ price: 100, quantity }] });
    assert.deepEqual([status, total], [200, 100 * quantity]);
  }
});
