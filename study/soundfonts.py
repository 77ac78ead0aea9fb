"""The instruments of the dataset notes, by its settings; what is wrong with a soundfont is told."""

from __future__ import annotations

from pathlib import Path

from shuffle_to_learn.datasets.instruments import Instrument, SoundfontError, melodic, spread
from study.errors import InputError
from study.sections import Notes


def instruments(settings: Notes) -> list[Instrument]:
    """The instruments that the settings ask for, as their soundfonts list them.

    Raises:
        InputError: where a file is missing, is no soundfont or has no melodic presets.
        FileNotFoundError: where the package with TimGM6mb is not installed.
    """
    for path in settings.files:
        if not Path(path).is_file():
            what = "is no file" if Path(path).exists() else "does not exist"
            raise InputError(f"notes.soundfonts: {path} {what} (make soundfonts fetches one)")
    try:
        return spread(settings.instruments, melodic(settings.soundfonts))
    except SoundfontError as error:
        raise InputError(f"notes.soundfonts: {error}") from None
