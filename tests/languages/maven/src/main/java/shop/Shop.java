package shop;

public class Shop {
    public static int total(int price, int count) {
        return price * count;
    }
}
