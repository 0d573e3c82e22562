import assert from "node:assert/strict";
import { test } from "node:test";

import { call } from "../call.js";

test("a customer who buys ten pays a tenth less", async () => {
  const [status, { total }] = await call("POST", "/quote", { items: [{ price: 250, quantity: 10 }] });
  assert.deepEqual([status, total], [200, 2250]);
});
