package quote;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Base64;

/** A quote service: how much an order costs. Runs in AWS Lambda behind an HTTP API. */
public final class App {
    private static final int MOST_ITEMS = 100;

    /** The order cannot be quoted; the message tells the caller why. */
    static final class InvalidOrder extends RuntimeException {
        InvalidOrder(String message) {
            super(message);
        }
    }

    /** Answers one request of the HTTP API (payload format 2.0). */
    public void handle(InputStream in, OutputStream out) throws IOException {
        JsonObject event = JsonParser.parseReader(new InputStreamReader(in, StandardCharsets.UTF_8)).getAsJsonObject();
        out.write(answerTo(event).toString().getBytes(StandardCharsets.UTF_8));
    }

    static JsonObject answerTo(JsonObject event) {
        String method = event.getAsJsonObject("requestContext").getAsJsonObject("http").get("method").getAsString();
        String route = method + " " + event.get("rawPath").getAsString();
        if (route.equals("GET /health")) {
            return answer(200, "status", "ok");
        }
        if (!route.equals("POST /quote")) {
            return answer(404, "error", "there is POST /quote and GET /health");
        }
        try {
            long total = total(JsonParser.parseString(body(event)));
            System.out.println("quoted: " + total);
            JsonObject quote = new JsonObject();
            quote.addProperty("total", total);
            quote.addProperty("currency", "EUR");
            return answer(200, quote);
        } catch (InvalidOrder | JsonParseException | IllegalArgumentException error) {
            System.out.println("refused: " + error.getMessage());
            return answer(400, "error", error.getMessage());
        }
    }

    /** The price of an order, in cents. Ten or more pieces of one item cost a tenth less. */
    static long total(JsonElement order) {
        JsonElement items = order.isJsonObject() ? order.getAsJsonObject().get("items") : null;
        int count = items != null && items.isJsonArray() ? items.getAsJsonArray().size() : 0;
        if (count < 1 || count > MOST_ITEMS) {
            throw new InvalidOrder("items: a list of 1 to " + MOST_ITEMS);
        }
        long total = 0;
        for (JsonElement item : items.getAsJsonArray()) {
            long price = whole(item, "price", 0);
            long quantity = whole(item, "quantity", 1);
            long cost = price * quantity;
            total += quantity >= 10 ? cost - cost / 10 : cost;
        }
        return total;
    }

    private static long whole(JsonElement item, String name, long least) {
        JsonElement value = item.isJsonObject() ? item.getAsJsonObject().get(name) : null;
        if (value != null && value.toString().matches("[0-9]{1,9}") && value.getAsLong() >= least) {
            return value.getAsLong();
        }
        throw new InvalidOrder("price and quantity: whole numbers, cents and pieces");
    }

    private static String body(JsonObject event) {
        JsonElement body = event.get("body");
        String text = body == null || body.isJsonNull() ? "" : body.getAsString();
        boolean encoded = event.has("isBase64Encoded") && event.get("isBase64Encoded").getAsBoolean();
        return encoded ? new String(Base64.getDecoder().decode(text), StandardCharsets.UTF_8) : text;
    }

    private static JsonObject answer(int status, String name, String value) {
        JsonObject body = new JsonObject();
        body.addProperty(name, value);
        return answer(status, body);
    }

    private static JsonObject answer(int status, JsonObject body) {
        JsonObject headers = new JsonObject();
        headers.addProperty("content-type", "application/json");
        JsonObject answer = new JsonObject();
        answer.addProperty("statusCode", status);
        answer.add("headers", headers);
        answer.addProperty("body", body.toString());
        return answer;
    }
}
