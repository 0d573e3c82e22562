import assert from "node:assert/strict";
import { test } from "node:test";

import { InvalidOrder, handler, quote } from "../../src/app.js";

const order = (...items) => ({ items: items.map(([price, quantity]) => ({ price, quantity })) });
const request = (method, rawPath, body) => ({
  rawPath,
  requestContext: { http: { method } },
  body: JSON.stringify(body),
});
const statusOf = async (event) => (await handler(event)).statusCode;

test("a quote adds up the items", () => {
  assert.equal(quote(order([100, 2], [50, 1])).total, 250);
});

test("ten pieces cost a tenth less", () => {
  assert.equal(quote(order([100, 9])).total, 900);
  assert.equal(quote(order([100, 10])).total, 900);
});

for (const bad of [null, [], {}, { items: [] }, { items: [null] }, order([-1, 1]), order([1, 0]), order(["1", 1])]) {
  test(`a bad order is refused: ${JSON.stringify(bad)}`, () => {
    assert.throws(() => quote(bad), InvalidOrder);
  });
}

test("the api answers", async () => {
  assert.equal(await statusOf(request("GET", "/health")), 200);
  assert.equal(await statusOf(request("POST", "/quote", order([100, 1]))), 200);
  assert.equal(await statusOf(request("POST", "/quote", {})), 400);
  assert.equal(await statusOf(request("POST", "/quote")), 400);
  assert.equal(await statusOf(request("GET", "/")), 404);
});

test("a body in base64 is read", async () => {
  const event = request("POST", "/quote");
  const body = Buffer.from(JSON.stringify(order([100, 1]))).toString("base64");
  assert.equal(await statusOf({ ...event, body, isBase64Encoded: true }), 200);
});
