import io
import os
import struct
import tracemalloc

import cv2
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shuffle_to_learn.features.video import ClipError, read_clip, without_background
from shuffle_to_learn.slicing import sampled

CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".webm": "VP80"}


def film(frames, height=48, width=80):
    """Frames told apart by their grey, with a red square in the middle."""
    pictures = np.empty((frames, height, width, 3), np.uint8)
    pictures[:] = (20 + 4 * np.arange(frames) % 200)[:, None, None, None]
    top, left = height // 2 - 8, width // 2 - 8
    pictures[:, top : top + 16, left : left + 16] = [200, 0, 0]
    return pictures


def write(path, pictures):
    height, width = pictures.shape[1:3]
    codec = cv2.VideoWriter.fourcc(*CODECS[path.suffix])
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, codec, 12.0, (width, height))
    assert writer.isOpened()
    for picture in pictures:
        writer.write(np.ascontiguousarray(picture[..., ::-1]))
    writer.release()
    return path


def decoded(path):
    """All frames, read one after the other."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    pictures = []
    while True:
        readable, picture = capture.read()
        if not readable:
            return np.array(pictures)[..., ::-1]
        pictures.append(picture)


@pytest.fixture(params=list(CODECS))
def path(request, tmp_path):
    return tmp_path / f"clip{request.param}"


@given(st.integers(1, 2000), st.data())
def test_sampled_frames_are_the_middles_of_equal_parts(count, data):
    frames = data.draw(st.integers(1, count))
    edges = np.linspace(0, count, frames + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    result = sampled(count, frames)
    assert result.shape == (frames,)
    # The frame that lasts over the middle; next to a cut, rounding in the oracle may take either.
    assert (result <= middles + 1e-6).all()
    assert (result + 1 >= middles - 1e-6).all()
    assert (np.diff(result) > 0).all()
    assert 0 <= result[0] and result[-1] < count


def test_all_frames_or_one():
    assert sampled(7, 7).tolist() == list(range(7))
    assert sampled(7, 1).tolist() == [3]
    assert sampled(40, 20).tolist() == list(range(1, 40, 2))


@pytest.mark.parametrize(
    ("count", "frames", "skip"), [(20, 20, 0), (27, 20, 0), (41, 5, 0), (24, 1, 0), (27, 20, 3)]
)
def test_frames_are_those_that_were_written(path, count, frames, skip):
    write(path, film(count))
    clip = read_clip(path, frames, 48, skip=skip)
    assert clip.shape == (frames, 48, 48, 3)
    assert clip.dtype == np.uint8
    whole = decoded(path)
    assert len(whole) == count
    assert (np.abs(np.diff(whole[:, 0, 0, 0].astype(int))) > 1).all()  # all are different
    np.testing.assert_array_equal(clip, whole[skip:][sampled(count - skip, frames), :, 16:64])


def test_colours_and_the_square_in_the_middle(path):
    pictures = film(24)
    pictures[:, :, :16] = [0, 0, 255]  # what is cropped
    pictures[:, :, -16:] = [0, 0, 255]
    write(path, pictures)
    whole = read_clip(path, 24, 48).astype(int)
    assert np.abs(whole - pictures[:, :, 16:64]).mean() < 4
    small = read_clip(path, 24, 12).astype(int)
    oracle = whole.reshape(24, 12, 4, 12, 4, 3).mean((2, 4))
    assert np.abs(small - oracle).max() <= 1
    assert read_clip(path, 2, 96).shape == (2, 96, 96, 3)


def test_a_clip_higher_than_wide_is_cropped_above_and_below(tmp_path):
    pictures = film(3, height=80, width=48)
    pictures[:, :16] = pictures[:, -16:] = [0, 0, 255]
    clip = read_clip(write(tmp_path / "high.avi", pictures), 3, 48).astype(int)
    assert np.abs(clip - pictures[:, 16:64]).mean() < 4


def test_too_few_frames(path):
    write(path, film(12))
    assert len(read_clip(path, 12, 32)) == 12
    with pytest.raises(ClipError, match=r"^12 frames, fewer than 20$"):
        read_clip(path, 20, 32)
    with pytest.raises(ClipError, match=r"^12 frames, fewer than 13$"):
        read_clip(path, 12, 32, skip=1)


def test_without_background_what_stands_still_is_grey_in_any_order():
    clip = np.broadcast_to(np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1), (7, 8, 8, 1)).copy()
    for frame in range(7):
        clip[frame, frame, 0] = 250
    result = without_background(clip)
    expected = np.full(clip.shape, 128, np.uint8)
    for frame in range(7):
        expected[frame, frame, 0] = min(128 + 250 - 8 * frame, 255)
    np.testing.assert_array_equal(result, expected)
    order = [3, 0, 6, 1, 5, 2, 4]
    np.testing.assert_array_equal(without_background(clip[order]), result[order])


def _forge(path, count, claimed):
    """Make the header of a file of ``count`` frames claim another number."""
    content = bytearray(path.read_bytes())
    if path.suffix == ".avi":
        content[48:52] = struct.pack("<I", claimed)  # avih: dwTotalFrames
        length = content.index(b"strh") + 8 + 32  # strh: dwLength
        assert content[length : length + 4] == struct.pack("<I", count)
        content[length : length + 4] = struct.pack("<I", claimed)
    else:
        length = content.index(b"\x44\x89\x88") + 3  # the duration in milliseconds
        content[length : length + 8] = struct.pack(">d", claimed / 12 * 1000)
    path.write_bytes(content)


@pytest.mark.parametrize("suffix", [".avi", ".webm"])
@pytest.mark.parametrize("claimed", [0, 7, 25, 31, 60, 4000])
def test_wrong_frame_counts_in_the_header_do_not_matter(tmp_path, suffix, claimed):
    path = write(tmp_path / f"clip{suffix}", film(30))
    right = read_clip(path, 20, 48)
    _forge(path, 30, claimed)
    if claimed:
        said = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG).get(cv2.CAP_PROP_FRAME_COUNT)
        assert said == claimed
    np.testing.assert_array_equal(read_clip(path, 20, 48), right)
    assert len(read_clip(path, 30, 48)) == 30
    with pytest.raises(ClipError, match=r"^30 frames, fewer than 31$"):
        read_clip(path, 31, 48)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_truncated(path, share, capfd):
    write(path, film(24))
    content = path.read_bytes()
    capfd.readouterr()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ClipError, match=r"^truncated$"):
        read_clip(path, 20, 32)
    assert capfd.readouterr() == ("", "")


def test_an_index_first_mp4_is_cut_anywhere(tmp_path):
    """As they are made for the web: the index comes first, so that what is there can be decoded."""
    original = write(tmp_path / "clip.mp4", film(24))
    content = original.read_bytes()
    index = content.index(b"moov") - 4
    head = content.index(b"mdat") - 4
    moov = bytearray(content[index:])
    offsets = moov.index(b"stco") + 8
    for i in range(struct.unpack(">I", moov[offsets : offsets + 4])[0]):
        place = slice(offsets + 4 + 4 * i, offsets + 8 + 4 * i)
        moov[place] = struct.pack(">I", struct.unpack(">I", moov[place])[0] + len(moov))
    path = tmp_path / "web.mp4"
    path.write_bytes(content[:head] + moov + content[head:index])
    np.testing.assert_array_equal(read_clip(path, 24, 48), read_clip(original, 24, 48))
    path.write_bytes((content[:head] + moov + content[head:index])[:-200])
    with pytest.raises(ClipError, match=r"^truncated$"):
        read_clip(path, 5, 48)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"not a video\n" * 50, "unreadable"),
        (bytes(5000), "unreadable"),
        (b"\x1a\x45\xdf\xa3" + bytes(300), "unreadable"),
        (b"RIFF\x04\x00\x00\x00AVI ", "unreadable"),
        (b"\x00\x00\x00\x08ftyp\x00\x00\x00\x08moov", "unreadable"),
        (b"\x00\x00\x00\x08ftyp\x00\x00\x00\x03moov", "unreadable"),
        (b"\x00\x00\x00\x08ftyp", "truncated"),
    ],
)
@pytest.mark.parametrize("suffix", list(CODECS))
def test_no_video(tmp_path, suffix, content, reason, capfd):
    path = tmp_path / f"clip{suffix}"
    path.write_bytes(content)
    with pytest.raises(ClipError, match=rf"^{reason}$"):
        read_clip(path, 20, 32)
    assert capfd.readouterr() == ("", "")


def test_no_file(tmp_path):
    with pytest.raises(ClipError, match=r"^missing$"):
        read_clip(tmp_path / "none.mp4", 20, 32)
    with pytest.raises(ClipError, match=r"^unreadable$"):
        read_clip(tmp_path, 20, 32)


def test_damage_in_the_middle_says_nothing_on_the_terminal(path, capfd):
    write(path, film(30))
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    third = len(content) // 3
    content[third : third + 300] = rng.bytes(300)
    path.write_bytes(content)
    capfd.readouterr()
    try:
        assert read_clip(path, 20, 32).shape == (20, 32, 32, 3)
    except ClipError as error:
        assert len(str(error)) < 60
    assert capfd.readouterr() == ("", "")


def test_memory_does_not_grow_with_the_length(tmp_path):
    peaks = []
    for count in (40, 400):
        path = write(tmp_path / f"{count}.mp4", film(count, 120, 160))
        tracemalloc.start()
        read_clip(path, 20, 64)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 20_000 < 1_000_000


def chunk(name, content):
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def jpeg_avi(pictures):
    """An AVI of JPEGs, made by hand: its pictures may have several sizes."""
    height, width = pictures[0].shape[:2]
    frames = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures]
    avih = struct.pack("<14I", 83333, 0, 0, 16, len(frames), 0, 1, 0, width, height, *[0] * 4)
    strh = b"vidsMJPG" + struct.pack("<10I4h", *[0] * 3, 1, 12, 0, len(frames), *[0] * 3, *[0] * 4)
    strf = struct.pack("<IiiHH4s5I", 40, width, height, 1, 24, b"MJPG", *[0] * 5)
    tracks = chunk(b"LIST", b"strl" + chunk(b"strh", strh) + chunk(b"strf", strf))
    movi, index = b"movi", b""
    for frame in frames:
        index += b"00dc" + struct.pack("<III", 16, len(movi), len(frame))
        movi += chunk(b"00dc", frame)
    head = chunk(b"LIST", b"hdrl" + chunk(b"avih", avih) + tracks)
    return chunk(b"RIFF", b"AVI " + head + chunk(b"LIST", movi) + chunk(b"idx1", index))


def greys(count=12, height=48, width=64):
    return [np.full((height, width, 3), 20 * number, np.uint8) for number in range(count)]


def sized(content, name, size):
    """A RIFF file in which what a name is the content of (``AVI ``, ``movi``) says another size."""
    place = content.index(name)
    return content[: place - 4] + struct.pack("<I", size) + content[place:]


AVIS = {
    "open": lambda avi: sized(avi, b"AVI ", 0),
    "largest": lambda avi: sized(avi, b"AVI ", 2**32 - 1),
    "largest with a sign": lambda avi: sized(avi, b"AVI ", 2**31 - 1),
    "open frames": lambda avi: sized(sized(avi, b"AVI ", 0), b"movi", 0),
    "a recorder that died": lambda avi: sized(
        sized(avi[: avi.index(b"idx1")], b"AVI ", 0), b"movi", 0
    ),
    "other bytes": lambda avi: avi + b"what an editor left here " * 9,
}


@pytest.mark.parametrize("what", AVIS)
def test_an_avi_whose_sizes_are_open_or_followed_by_other_bytes(tmp_path, what):
    content = jpeg_avi(greys())
    (tmp_path / "right.avi").write_bytes(content)
    (tmp_path / "clip.avi").write_bytes(AVIS[what](content))
    right = read_clip(tmp_path / "right.avi", 12, 48)
    assert np.abs(right.mean((1, 2, 3)) - 20 * np.arange(12)).max() < 2
    np.testing.assert_array_equal(read_clip(tmp_path / "clip.avi", 12, 48), right)


def box(name, content, size=None):
    return struct.pack(">I", len(content) + 8 if size is None else size) + name + content


def index_first(content):
    """An MP4 whose index comes before its frames, and where the frames begin."""
    index, frames = content.index(b"moov") - 4, content.index(b"mdat") - 4
    moov = bytearray(content[index:])
    offsets = moov.index(b"stco") + 8
    for i in range(struct.unpack(">I", moov[offsets : offsets + 4])[0]):
        place = slice(offsets + 4 + 4 * i, offsets + 8 + 4 * i)
        moov[place] = struct.pack(">I", struct.unpack(">I", moov[place])[0] + len(moov))
    return content[:frames] + moov + content[frames:index], frames + len(moov)


def open_mp4(content):
    content, frames = index_first(content)
    return content[:frames] + bytes(4) + content[frames + 4 :]


MP4S = {
    "open": open_mp4,
    "text": lambda mp4: mp4 + b"what an editor left here " * 9,
    "zeros": lambda mp4: mp4 + bytes(100),
    "noise": lambda mp4: mp4 + np.random.default_rng(0).bytes(1000),
    "a maker's box": lambda mp4: mp4 + box(b"abcd", bytes(20)),
    "a maker's box that says too much": lambda mp4: mp4 + box(b"abcd", bytes(20), 5000),
    "a maker's box and noise": lambda mp4: mp4 + box(b"abcd", bytes(20)) + b"\xff" * 99,
}


@pytest.mark.parametrize("what", MP4S)
def test_an_mp4_whose_size_is_open_or_followed_by_other_bytes(tmp_path, what):
    right = write(tmp_path / "right.mp4", film(24))
    path = tmp_path / "clip.mp4"
    path.write_bytes(MP4S[what](right.read_bytes()))
    np.testing.assert_array_equal(read_clip(path, 24, 48), read_clip(right, 24, 48))


def test_frames_of_several_sizes_have_the_size_of_the_first(tmp_path):
    pictures = greys(6, 48, 64) + [np.repeat(p, 2, axis=0) for p in greys(12, 48, 64)[6:]]
    (tmp_path / "clip.avi").write_bytes(jpeg_avi(pictures))
    clip = read_clip(tmp_path / "clip.avi", 12, 48)
    assert np.abs(clip.mean((1, 2, 3)) - 20 * np.arange(12)).max() < 2


TURNS = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


@pytest.mark.parametrize("turn", TURNS)
def test_a_clip_is_turned_as_it_says(tmp_path, turn):
    pictures = film(5, 48, 48)
    pictures[:, :16, :16] = 250  # above, on the left
    path = write(tmp_path / "clip.mp4", pictures)
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    a, b, c, d = (65536 * value for value in TURNS[turn])
    content[matrix : matrix + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 2**30)
    path.write_bytes(content)
    clip = read_clip(path, 5, 48).astype(int)
    right = np.rot90(pictures, -turn // 90, axes=(1, 2))
    assert np.abs(clip - right).mean() < 6


def test_a_codec_that_cannot_be_decoded_is_named(tmp_path, capfd):
    """An animation in AVIF is an MP4 of AV1."""
    pictures = [Image.fromarray(picture) for picture in greys(12, 64, 64)]
    path = tmp_path / "clip.mp4"
    pictures[0].save(path, "AVIF", save_all=True, append_images=pictures[1:])
    try:
        clip = read_clip(path, 12, 64)
    except ClipError as error:
        assert str(error) == "no frames: AV01 cannot be decoded here, H.264 can"
    else:
        assert np.abs(clip.mean((1, 2, 3)) - 20 * np.arange(12)).max() < 4
    assert capfd.readouterr() == ("", "")


def only_sound(path):
    """A clip without its track of frames: what an MP4 of sound alone says of itself."""
    content = write(path.with_suffix(".mp4"), film(12)).read_bytes()
    return content.replace(b"vide", b"soun").replace(b"vmhd", b"smhd")


SOUNDS = {
    "wave": lambda path: wave_file(),
    "avi": lambda path: jpeg_avi(greys()).replace(b"vidsMJPG", b"auds\0\0\0\0"),
    "mp4": only_sound,
}


def wave_file():
    file = io.BytesIO()
    soundfile.write(file, np.zeros(8000), 8000, format="WAV")
    return file.getvalue()


@pytest.mark.parametrize("what", SOUNDS)
def test_a_clip_with_sound_alone(tmp_path, what):
    path = tmp_path / "clip.avi"
    path.write_bytes(SOUNDS[what](tmp_path / "made"))
    with pytest.raises(ClipError, match=r"^no video: sound alone$"):
        read_clip(path, 5, 32)


NAMES = [
    b"a b.avi",
    b"a:b.avi",
    b"caf\xe9.avi",
    b"-i.avi",
    b"%03d.avi",
    b"#'\"$HOME.avi",
    b"a\nb.avi",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with open(name, "wb") as file:
        file.write(jpeg_avi(greys()))
    assert read_clip(os.fsdecode(name), 12, 48).shape == (12, 48, 48, 3)
