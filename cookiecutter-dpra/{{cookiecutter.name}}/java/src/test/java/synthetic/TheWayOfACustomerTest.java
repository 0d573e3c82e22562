package synthetic;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;
import stage.Api;

class TheWayOfACustomerTest {
    @Test
    void theWayOfACustomerWorksAgainAndAgain() throws Exception {
        for (int quantity = 1; quantity <= 5; quantity++) {
            assertEquals(200, Api.get("/health").status());
            Api.Answer answer = Api.post("/quote", "{\"items\": [{\"price\": 100, \"quantity\": " + quantity + "}]}");
            assertEquals(200, answer.status());
            assertEquals(100 * quantity, answer.body().get("total").getAsInt());
        }
    }
}
