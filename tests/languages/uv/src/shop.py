import idna


def total(price: int, count: int) -> int:
    return price * count


def host(name: str) -> str:
    return idna.encode(name).decode()
