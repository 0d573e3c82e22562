package acceptance;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;
import stage.Api;

class ACustomerGetsAQuoteTest {
    @Test
    void aCustomerWhoBuysTenPaysATenthLess() throws Exception {
        Api.Answer answer = Api.post("/quote", "{\"items\": [{\"price\": 250, \"quantity\": 10}]}");
        assertEquals(200, answer.status());
        assertEquals(2250, answer.body().get("total").getAsInt());
    }
}
