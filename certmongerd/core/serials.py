"""Serial numbers of the internal CA, as the state files hold them."""


def next_serial(text: str) -> str:
    """The hexadecimal serial after *text*; never one whose top bit is set (it would read as negative).

    An empty or unreadable text starts at `01`.
    """
    if usable_serial(text) != text:
        return "01"
    digits = format(int(text, 16) + 1, "X")
    if len(digits) % 2:
        digits = "0" + digits
    return "00" + digits if digits[0] in "89ABCDEF" else digits


def usable_serial(text: str) -> str:
    """*text* if it is a positive hexadecimal number, otherwise the first serial."""
    try:
        return text if int(text, 16) > 0 else "01"
    except ValueError:
        return "01"
