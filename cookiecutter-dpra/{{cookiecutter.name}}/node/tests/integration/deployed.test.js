import assert from "node:assert/strict";
import { test } from "node:test";

import { call } from "../call.js";

test("the deployed api answers", async () => {
  assert.deepEqual(await call("GET", "/health"), [200, { status: "ok" }]);
});

test("the deployed api refuses a bad order", async () => {
  const [status, answer] = await call("POST", "/quote", { items: [] });
  assert.equal(status, 400);
  assert.match(answer.error, /items/);
});
