/** A quote service: how much an order costs. Runs in AWS Lambda behind an HTTP API. */

const MOST_ITEMS = 100;

/** The order cannot be quoted; the message tells the caller why. */
export class InvalidOrder extends Error {}

/** The price of an order, in cents. Ten or more pieces of one item cost a tenth less. */
export function quote(order) {
  const items = order?.items;
  if (!Array.isArray(items) || items.length < 1 || items.length > MOST_ITEMS) {
    throw new InvalidOrder(`items: a list of 1 to ${MOST_ITEMS}`);
  }
  let total = 0;
  for (const item of items) {
    const { price, quantity } = item ?? {};
    if (!Number.isSafeInteger(price) || !Number.isSafeInteger(quantity) || price < 0 || quantity < 1) {
      throw new InvalidOrder("price and quantity: whole numbers, cents and pieces");
    }
    const cost = price * quantity;
    total += quantity >= 10 ? cost - Math.floor(cost / 10) : cost;
  }
  return { total, currency: "EUR" };
}

/** Answers one request of the HTTP API (payload format 2.0). */
export async function handler(event) {
  const route = `${event.requestContext.http.method} ${event.rawPath}`;
  if (route === "GET /health") return answer(200, { status: "ok" });
  if (route !== "POST /quote") return answer(404, { error: "there is POST /quote and GET /health" });
  try {
    const result = quote(JSON.parse(bodyOf(event)));
    console.log("quoted: %d", result.total);
    return answer(200, result);
  } catch (error) {
    if (!(error instanceof InvalidOrder || error instanceof SyntaxError)) throw error;
    console.log("refused: %s", error.message);
    return answer(400, { error: error.message });
  }
}

function bodyOf(event) {
  return Buffer.from(event.body ?? "", event.isBase64Encoded ? "base64" : "utf8").toString();
}

function answer(statusCode, body) {
  return { statusCode, headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}
