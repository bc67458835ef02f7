"""Tables of the names that other code has for our weights."""
