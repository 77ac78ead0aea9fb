"""Mistakes of the person at the keyboard, told in one line."""


class InputError(Exception):
    """Something given is wrong; the message names the file or the key and says what to do."""
