"""Soundfonts of a few kilobytes: presets that each play one looped wave.

Source: SoundFont Technical Specification 2.04. An ``.sf3`` is the same with Ogg Vorbis for samples.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

RATE = 32_000
PERIOD = 128  # samples: 250 Hz
ROOT_KEY = 59
CENTS = 21  # below 250 Hz is the key's 246.94 Hz
PAD = 46  # samples of silence after each wave
KEY_RANGE, VELOCITY_RANGE, INSTRUMENT, SAMPLE, MODES, ROOT, TUNE = 43, 44, 41, 53, 54, 58, 52


class Preset(NamedTuple):
    """A preset: its place and name, the levels of its harmonics, and those of loud notes if others.

    ``keys`` are the lowest and the highest key that sound.
    """

    bank: int
    program: int
    name: str
    harmonics: tuple[float, ...] = (1.0,)
    loud: tuple[float, ...] = ()
    keys: tuple[int, int] = (0, 127)


def wave(harmonics: Sequence[float]) -> np.ndarray:
    """A second of a sound of 250 Hz, int16."""
    phase = 2 * np.pi * np.arange(RATE) / PERIOD
    total = sum(level * np.sin((i + 1) * phase + i) for i, level in enumerate(harmonics))
    scale = max(sum(np.abs(harmonics)), 1e-9)
    return np.rint(0.5 * 32767 * total / scale).astype("<i2")


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def group(name: bytes, *chunks: bytes) -> bytes:
    return chunk(b"LIST", name + b"".join(chunks))


def soundfont(presets: Sequence[Preset], *, vorbis: bool = False) -> bytes:
    """The bytes of a soundfont with these presets, in this order."""
    samples, headers = b"", b""
    preset_rows, preset_zones, preset_generators = b"", b"", b""
    rows, zones, generators = b"", b"", b""
    zone = sample = 0
    record = struct.Struct("<20sIIIIIBbHH")
    for number, preset in enumerate(presets):
        name = preset.name.encode("latin-1")[:20]
        preset_rows += struct.pack("<20sHHHIII", name, preset.program, preset.bank, number, 0, 0, 0)
        preset_zones += struct.pack("<HH", number, 0)
        preset_generators += struct.pack("<HH", INSTRUMENT, number)
        rows += struct.pack("<20sH", name, zone)
        layers = [((1, 127), preset.harmonics)]
        if preset.loud:
            layers = [((1, 63), preset.harmonics), ((64, 127), preset.loud)]
        for velocities, harmonics in layers:
            zones += struct.pack("<HH", len(generators) // 4, 0)
            for operator, amount in (
                (KEY_RANGE, preset.keys[0] | preset.keys[1] << 8),
                (VELOCITY_RANGE, velocities[0] | velocities[1] << 8),
                (TUNE, -CENTS & 0xFFFF),
                (MODES, 1),
                (ROOT, ROOT_KEY),
                (SAMPLE, sample),
            ):
                generators += struct.pack("<HH", operator, amount)
            zone, sample = zone + 1, sample + 1
            sound = wave(harmonics)
            content = _vorbis(sound) if vorbis else sound.tobytes()
            unit = 1 if vorbis else 2
            start, kind = len(samples) // unit, 0x11 if vorbis else 1
            loop = (PERIOD, len(sound) - PERIOD)  # of a compressed sample from its own start
            loop = loop if vorbis else (start + loop[0], start + loop[1])
            end = start + len(content) // unit
            headers += record.pack(b"wave", start, end, *loop, RATE, ROOT_KEY, 0, 0, kind)
            samples += content + bytes(PAD * 2 + len(content) % 2)
    end = b"\0" * 4
    body = group(
        b"INFO",
        chunk(b"ifil", struct.pack("<HH", 3 if vorbis else 2, 1)),
        chunk(b"isng", b"EMU8000\0"),
        chunk(b"INAM", b"tiny\0\0"),
    )
    body += group(b"sdta", chunk(b"smpl", samples))
    body += group(
        b"pdta",
        chunk(
            b"phdr", preset_rows + struct.pack("<20sHHHIII", b"EOP", 0, 0, len(presets), 0, 0, 0)
        ),
        chunk(b"pbag", preset_zones + struct.pack("<HH", len(presets), 0)),
        chunk(b"pmod", b"\0" * 10),
        chunk(b"pgen", preset_generators + end),
        chunk(b"inst", rows + struct.pack("<20sH", b"EOI", zone)),
        chunk(b"ibag", zones + struct.pack("<HH", len(generators) // 4, 0)),
        chunk(b"imod", b"\0" * 10),
        chunk(b"igen", generators + end),
        chunk(b"shdr", headers + record.pack(b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0)),
    )
    return chunk(b"RIFF", b"sfbk" + body)


def write(path: Path, presets: Sequence[Preset], *, vorbis: bool = False) -> Path:
    path.write_bytes(soundfont(presets, vorbis=vorbis))
    return path


def _vorbis(sound: np.ndarray) -> bytes:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, sound, RATE, format="OGG", subtype="VORBIS")
    return file.getvalue()
