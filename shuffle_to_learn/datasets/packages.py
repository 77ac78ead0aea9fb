"""Where the recordings of the datasets `words` and `syllables` come from."""

from __future__ import annotations

from typing import NamedTuple


class Package(NamedTuple):
    """Where a dataset's recordings come from.

    Attributes:
        name: of the Debian package.
        folder: of the recordings, in the package.
        size: of the download, in MB.
        recordings: that the dataset keeps.
        group: the label whose values are not in two splits.
    """

    name: str
    folder: str
    size: int
    recordings: int
    group: str

    @property
    def how(self) -> str:
        """What to do to have it."""
        return f"run make speech (Debian's package {self.name}: docs/speech.md)"


PACKAGES = {
    "words": Package("tuxpaint-stamps-default", "usr/share/tuxpaint/stamps", 161, 6453, "thing"),
    "syllables": Package("gcin-voice", "usr/share/gcin-voice/ogg", 8, 2358, "syllable"),
}
