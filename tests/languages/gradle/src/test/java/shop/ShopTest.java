package shop;

import static org.junit.Assert.assertEquals;

import org.junit.Test;

public class ShopTest {
    @Test
    public void threeCostThreeTimesAsMuch() {
        assertEquals(6, Shop.total(2, 3));
    }
}
