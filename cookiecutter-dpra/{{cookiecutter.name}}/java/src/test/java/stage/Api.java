package stage;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;

/** What the tests of a deployed stage share: a call of the deployed HTTP API. */
public final class Api {
    private static final HttpClient CLIENT = HttpClient.newHttpClient();

    public record Answer(int status, JsonObject body) {}

    public static Answer get(String path) throws IOException, InterruptedException {
        return send(HttpRequest.newBuilder(url(path)).GET());
    }

    public static Answer post(String path, String body) throws IOException, InterruptedException {
        return send(HttpRequest.newBuilder(url(path)).POST(BodyPublishers.ofString(body)));
    }

    private static URI url(String path) {
        JsonObject outputs = JsonParser.parseString(System.getenv("DEPLOYMENT_OUTPUTS")).getAsJsonObject();
        return URI.create(outputs.get("ApiUrl").getAsString() + path);
    }

    private static Answer send(HttpRequest.Builder request) throws IOException, InterruptedException {
        request.header("content-type", "application/json").timeout(Duration.ofSeconds(20));
        HttpResponse<String> reply = CLIENT.send(request.build(), BodyHandlers.ofString());
        return new Answer(reply.statusCode(), JsonParser.parseString(reply.body()).getAsJsonObject());
    }
}
