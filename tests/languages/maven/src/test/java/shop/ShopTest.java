package shop;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class ShopTest {
    @Test
    void threeCostThreeTimesAsMuch() {
        assertEquals(6, Shop.total(2, 3));
    }
}
