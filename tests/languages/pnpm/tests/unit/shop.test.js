const test = require("node:test");
const assert = require("node:assert");
const { total } = require("../../src/shop.js");

test("three cost three times as much", () => assert.equal(total(2, 3), 6));
