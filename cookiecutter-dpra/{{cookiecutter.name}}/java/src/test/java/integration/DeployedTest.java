package integration;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import stage.Api;

class DeployedTest {
    @Test
    void theDeployedApiAnswers() throws Exception {
        Api.Answer answer = Api.get("/health");
        assertEquals(200, answer.status());
        assertEquals("ok", answer.body().get("status").getAsString());
    }

    @Test
    void theDeployedApiRefusesABadOrder() throws Exception {
        Api.Answer answer = Api.post("/quote", "{\"items\": []}");
        assertEquals(400, answer.status());
        assertTrue(answer.body().get("error").getAsString().contains("items"));
    }
}
