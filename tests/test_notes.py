import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shuffle_to_learn.datasets import builder, memory, notes, soundfont
from shuffle_to_learn.datasets.instruments import PACKAGED, Instrument, melodic
from shuffle_to_learn.datasets.soundfont import Note

PITCHES = range(60, 70)
INSTRUMENTS = melodic()


def progress(items, *, total, label, unit):
    return items


class Heard:
    """Stands for the pool: notes as if rendered, all of them fine but for those in ``faults``."""

    def __init__(self, faults=None, twins=()):
        self.faults = faults or {}
        self.twins = twins

    def map(self, function, groups):
        for group in groups:
            for note in group:
                note.peak, note.heard, note.clarity = -20.0, float(note.pitch), 1.0
                for key, value in self.faults.get(
                    (note.instrument.program, note.pitch), {}
                ).items():
                    setattr(note, key, value)
            place = {note.instrument.program: i for i, note in enumerate(group)}
            yield group, [(place[a], place[b]) for a, b, p in self.twins if p == group[0].pitch]


def instruments(*programs):
    return [i for p in programs for i in INSTRUMENTS if i.program == p]


def audition(programs, faults=None, twins=(), **checks):
    candidates = soundfont.candidates(instruments(*programs), PITCHES, seed=0)
    result = notes.audition(
        candidates, notes.Checks(**checks), pool=Heard(faults, twins), progress=progress
    )
    assert [note.id for note in result] == [note.id for note in candidates]
    return {(note.instrument.program, note.pitch): note.reason for note in result}


def test_features_are_nsynths(tmp_path):
    from tensorflow_datasets.datasets.nsynth import nsynth_dataset_builder as nsynth

    theirs = nsynth.Builder(config="full", data_dir=tmp_path).info.features
    ours = notes.features([f"instrument {i}" for i in range(1006)])
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    assert ours["audio"].sample_rate == theirs["audio"].sample_rate
    for key in ("family", "source"):
        assert ours["instrument"][key].names == theirs["instrument"][key].names
    for key in ("pitch", "velocity"):
        assert ours[key].num_classes == theirs[key].num_classes
    assert list(ours["qualities"]) == list(theirs["qualities"])


def test_reasons():
    faults = {
        (0, 60): {"peak": -61.0, "clarity": 0.0},
        (0, 61): {"reason": "clipped", "clarity": 0.0},
        (1, 60): {"heard": 60.6},
        (1, 61): {"clarity": 0.5},
        (2, 60): {"heard": float("nan"), "clarity": 0.0},
        (2, 61): {"heard": 60.6},
    }
    reasons = audition([0, 1, 2], faults)
    assert {key: reason for key, reason in reasons.items() if reason} == {
        (0, 60): "silent",
        (0, 61): "clipped",
        (1, 60): "pitch",
        (1, 61): "pitch",
        (2, 60): "pitch",
    }


def test_of_two_alike_the_lower_program_stays():
    reasons = audition([5, 1, 3], twins=[(5, 1, 62), (1, 3, 63), (5, 3, 63)])
    assert {key: reason for key, reason in reasons.items() if reason} == {
        (5, 62): "duplicate of keyboard_acoustic_001",
        (3, 63): "duplicate of keyboard_acoustic_001",
        # Not 5 at 63: it is like 3's note alone, which is not in.
    }


def test_a_rejected_note_has_no_duplicate():
    reasons = audition([0, 1], {(0, 62): {"peak": -99.0}}, twins=[(0, 1, 62)])
    assert reasons[0, 62] == "silent"
    assert reasons[1, 62] == ""


def test_instruments_with_few_good_notes_are_out_whole():
    faults = {(0, p): {"clarity": 0.0} for p in range(60, 63)}
    reasons = audition([0, 1], faults, twins=[(0, 1, 65)], share=0.75)
    assert {reasons[0, p] for p in range(63, 70)} == {"instrument"}
    # What is out has no duplicates.
    assert not any(reasons[1, p] for p in PITCHES)
    assert audition([0], faults, share=0.7)[0, 65] == ""


def heard_at(velocities, pairs, faults=(), share=0.75):
    """The reasons of one instrument's notes: pairs of places at a pitch that sound alike."""
    candidates = soundfont.candidates(instruments(0), PITCHES, seed=0, velocities=velocities)

    class Pool:
        def map(self, function, groups):
            for group in groups:
                for place, note in enumerate(group):
                    clarity = 0.0 if (place, note.pitch) in faults else 1.0
                    note.peak, note.heard, note.clarity = -20.0, float(note.pitch), clarity
                yield group, pairs

    found = notes.audition(candidates, notes.Checks(share=share), pool=Pool(), progress=progress)
    return [[n.reason for n in found if n.pitch == pitch] for pitch in PITCHES]


def test_a_velocity_that_changes_only_the_level_is_left_out():
    reasons = heard_at(4, [(0, 2), (1, 3)])
    assert reasons == [["", "", "velocity", "velocity"]] * 10
    # Not alike those that stay, only one that is out itself.
    reasons = heard_at(3, [(0, 1), (1, 2)])
    assert reasons == [["", "velocity", ""]] * 10


def test_the_share_that_passes_is_of_pitches_not_of_velocities():
    faults = {(place, pitch) for place in (0, 1) for pitch in (60, 61)}
    reasons = heard_at(2, [(0, 1)], faults)
    assert reasons == [["pitch", "pitch"]] * 2 + [["", "velocity"]] * 8
    reasons = heard_at(2, [], faults | {(1, 62), (0, 63), (1, 63)})
    assert reasons[2:] == [["instrument", "pitch"], ["pitch", "pitch"]] + [["instrument"] * 2] * 6
    assert heard_at(5, [], {(p, q) for p in range(5) for q in PITCHES if q > 61}, share=0.1) == (
        [["instrument"] * 5] * 2 + [["pitch"] * 5] * 8  # two pitches cannot be in three splits
    )


def good(programs, pitches):
    return soundfont.candidates(instruments(*programs), pitches, seed=1)


@settings(deadline=None)
@given(
    st.integers(3, 88),
    st.floats(0.01, 0.49),
    st.floats(0.01, 0.49),
    st.integers(0, 2**31 - 1),
)
def test_splits(count, valid_share, test_share, seed):
    members = good([0, 40, 73], range(21, 21 + count))
    members[0].reason = "silent"
    if count > 3:
        members[1].reason = "pitch"
    keep = [note for note in members if not note.reason]
    shares = dict(valid_share=valid_share, test_share=test_share, seed=seed)
    if count - 1 < 3:
        return
    notes.assign(members, **shares)
    assert [note.split == "" for note in members] == [bool(note.reason) for note in members]
    for program in (0, 40, 73):
        splits = [note.split for note in keep if note.instrument.program == program]
        assert set(splits) == {"train", "valid", "test"}
        for split, share in (("valid", valid_share), ("test", test_share)):
            assert abs(splits.count(split) - share * len(splits)) <= 1
    # An instrument's draw does not depend on the others.
    alone = good([40], range(21, 21 + count))
    notes.assign(alone, **shares)
    assert [n.split for n in alone] == [n.split for n in members if n.instrument.program == 40]


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(0, 2**31 - 1), st.randoms())
def test_all_velocities_of_a_pitch_are_in_one_split(velocities, seed, random):
    members = soundfont.candidates(instruments(0, 40), range(40, 60), 1, velocities)
    for note in members:
        if random.random() < 0.5 and note.pitch > 45:
            note.reason = "velocity"
    shares = dict(valid_share=0.15, test_share=0.15, seed=seed)
    notes.assign(members, **shares)
    there = {}
    for note in members:
        assert bool(note.split) != bool(note.reason)
        if note.split:
            there.setdefault((note.instrument.program, note.pitch), set()).add(note.split)
    assert all(len(splits) == 1 for splits in there.values())
    for program in (0, 40):
        assert {s for (p, _), (s,) in there.items() if p == program} == set(notes.SPLITS)
    # Where each pitch has a note, the splits are those of one velocity.
    once = soundfont.candidates(instruments(0, 40), range(40, 60), 1)
    notes.assign(once, **shares)
    if len(there) == len(once):
        wanted = {(n.instrument.program, n.pitch): {n.split} for n in once}
        assert wanted == there


def test_seeds_split_differently():
    draws = []
    for seed in (0, 1):
        members = good([0], range(21, 109))
        notes.assign(members, valid_share=0.15, test_share=0.15, seed=seed)
        draws.append([note.split for note in members])
    assert draws[0] != draws[1]
    # Instruments hold out different pitches.
    members = good([0, 40], range(21, 109))
    notes.assign(members, valid_share=0.15, test_share=0.15, seed=0)
    splits = [note.split for note in members]
    assert splits[:88] == draws[0] != splits[88:]
    # The held-out pitches are spread: no split is a corner of the keyboard.
    held_out = [p for p, split in zip(range(21, 109), draws[0], strict=True) if split == "test"]
    assert min(held_out) < 50 < 80 < max(held_out)


def test_rendering_stays_a_chunk_ahead():
    asked = []

    class Pool:
        def map(self, function, items, chunksize):
            return map(function, items)

    def items():
        for i in range(10_000):
            asked.append(i)
            yield i

    stream = builder.bounded(Pool(), lambda x: -x, items())
    assert [next(stream) for _ in range(3)] == [0, -1, -2]
    assert len(asked) <= 256
    assert sum(1 for _ in stream) == 9997


def test_the_builder_asks_for_what_it_needs(tmp_path):
    note = Note(INSTRUMENTS[0], 60, 100, split="train")
    builder = notes.Notes(data_dir=tmp_path, notes=[note])
    with pytest.raises(ValueError, match="a pool and a progress function"):
        next(iter(builder._generate_examples("train")))


@pytest.mark.parametrize(
    ("fonts", "told", "families"),
    [
        ([PACKAGED], "the General MIDI soundfont TimGM6mb, rendered", 11),
        (["a/one.sf2"], "the soundfonts one, rendered", 12),
        (["one.sf2", PACKAGED], "the soundfonts one, TimGM6mb, rendered", 12),
    ],
)
def test_a_dataset_names_its_soundfonts_and_only_families_there_are(
    tmp_path, fonts, told, families
):
    made = [
        Instrument(font, place, 0, 0, "", "other" if font != PACKAGED else "bass", "acoustic")
        for place, font in enumerate(fonts)
    ]
    info = notes.Notes(
        data_dir=tmp_path, notes=[Note(i, 60, 100, split="train") for i in made]
    ).info
    assert told in info.description
    assert info.features["instrument"]["family"].num_classes == families


def test_pools_hear_what_a_renderer_plays():
    candidates = soundfont.candidates(instruments(0, 73), [60], seed=0)
    with notes.workers(1) as pool:
        ((heard, pairs),) = pool.map(soundfont.listen, [candidates], [0.98])
        assert pool.submit(_loaded, "tensorflow").result() is False
    assert pairs == []
    for note in heard:
        audio = soundfont.Renderer().note(note.instrument, note.pitch, note.velocity)
        assert note.peak == pytest.approx(20 * np.log10(np.abs(audio).max()))
        assert note.heard == pytest.approx(60, abs=0.3)


def test_workers_keep_their_memory_and_leave_the_environment_alone(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    monkeypatch.delenv("MALLOC_MMAP_THRESHOLD_", raising=False)
    before = dict(os.environ)
    with notes.workers(1) as pool:
        there = [pool.submit(os.getenv, name).result() for name in sorted(memory.KEPT)]
    assert there == [memory.KEPT["MALLOC_MMAP_THRESHOLD_"], "131072"]
    assert dict(os.environ) == before


def _loaded(name):
    import sys

    return name in sys.modules
