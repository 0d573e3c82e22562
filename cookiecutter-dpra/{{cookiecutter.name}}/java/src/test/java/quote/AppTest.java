package quote;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class AppTest {
    private static String order(String... items) {
        return "{'items': [" + String.join(", ", items) + "]}";
    }

    private static String item(int price, int quantity) {
        return "{'price': " + price + ", 'quantity': " + quantity + "}";
    }

    private static long total(String order) {
        return App.total(JsonParser.parseString(order));
    }

    private static JsonObject request(String method, String path, String body) {
        JsonObject http = new JsonObject();
        http.addProperty("method", method);
        JsonObject context = new JsonObject();
        context.add("http", http);
        JsonObject request = new JsonObject();
        request.addProperty("rawPath", path);
        request.add("requestContext", context);
        request.addProperty("body", body);
        return request;
    }

    private static int statusOf(JsonObject request) {
        return App.answerTo(request).get("statusCode").getAsInt();
    }

    @Test
    void aQuoteAddsUpTheItems() {
        assertEquals(250, total(order(item(100, 2), item(50, 1))));
    }

    @Test
    void tenPiecesCostATenthLess() {
        assertEquals(900, total(order(item(100, 9))));
        assertEquals(900, total(order(item(100, 10))));
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "null", "[]", "{}", "{'items': 1}", "{'items': []}", "{'items': [null]}", "{'items': [{'price': 1}]}",
        "{'items': [{'price': -1, 'quantity': 1}]}", "{'items': [{'price': 1, 'quantity': 0}]}",
        "{'items': [{'price': '1', 'quantity': 1}]}", "{'items': [{'price': 1.5, 'quantity': 1}]}",
    })
    void aBadOrderIsRefused(String bad) {
        assertThrows(App.InvalidOrder.class, () -> total(bad));
    }

    @Test
    void theApiAnswers() {
        assertEquals(200, statusOf(request("GET", "/health", null)));
        assertEquals(200, statusOf(request("POST", "/quote", order(item(100, 1)))));
        assertEquals(400, statusOf(request("POST", "/quote", "{}")));
        assertEquals(400, statusOf(request("POST", "/quote", "{")));
        assertEquals(400, statusOf(request("POST", "/quote", null)));
        assertEquals(404, statusOf(request("GET", "/", null)));
    }

    @Test
    void aBodyInBase64IsRead() {
        byte[] body = order(item(100, 1)).getBytes(StandardCharsets.UTF_8);
        JsonObject request = request("POST", "/quote", Base64.getEncoder().encodeToString(body));
        request.addProperty("isBase64Encoded", true);
        assertEquals(200, statusOf(request));
    }
}
