import io
import os
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from shuffle_to_learn.features.pictures import BACKGROUND, ImageError, read_image

SIZE = 32
RED, BLUE = (200, 100, 30), (20, 40, 220)


def scene(height=40, width=60):
    """Left half red, right half blue, top fifth black, so that every turn is another picture."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : width // 2], picture[:, width // 2 :] = RED, BLUE
    picture[: height // 5] = 0
    return Image.fromarray(picture)


def noise(seed=0, side=100):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8))


def saved(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def square(picture, size=SIZE):
    """What is right: Pillow's crop in the middle, then OpenCV's resize."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    cropped = np.asarray(picture.convert("RGB").crop((left, top, left + side, top + side)))
    return cv2.resize(cropped, (size, size), interpolation=cv2.INTER_AREA)


def check(content, right, tolerance=0, **options):
    picture = read_image(content, SIZE, **options)
    assert picture.shape == (SIZE, SIZE, 3)
    assert picture.dtype == np.uint8
    assert np.abs(picture.astype(int) - right).max() <= tolerance


LOSSLESS = [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})]


@pytest.mark.parametrize("kind, options", LOSSLESS)
@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (41, 41)])
def test_colour(kind, options, shape):
    picture = scene(*shape)
    check(saved(picture, kind, **options), square(picture))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg(options):
    content = saved(scene(), "JPEG", quality=95, **options)
    check(content, square(Image.open(io.BytesIO(content))), tolerance=4)


def test_small_pictures_grow():
    picture = scene(8, 8)
    grown = read_image(saved(picture, "PNG"), SIZE)
    assert grown.shape == (SIZE, SIZE, 3)
    np.testing.assert_array_equal(grown[-1, 0], RED)
    np.testing.assert_array_equal(grown[-1, -1], BLUE)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_grey(kind):
    grey = scene().convert("L")
    check(saved(grey, kind), square(grey), tolerance=4 if kind == "JPEG" else 0)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF"])
def test_one_bit(kind):
    bits = scene().convert("1", dither=Image.Dither.NONE)
    check(saved(bits, kind), square(bits))


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "BMP"])
def test_palette(kind):
    palette = scene().quantize(4)
    check(saved(palette, kind), square(palette))


@pytest.mark.parametrize("background", [BACKGROUND, (10, 200, 60)])
@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_palette_with_a_transparent_colour(kind, background):
    palette = scene().quantize(4)
    content = saved(palette, kind, transparency=palette.getpixel((0, 39)))
    right = np.asarray(scene()).copy()
    right[(right == RED).all(axis=-1)] = background
    check(content, square(Image.fromarray(right)), background=background)


def test_grey_and_colour_with_a_transparent_level():
    grey = scene().convert("L")
    level = grey.getpixel((0, 39))
    right = np.asarray(grey).copy()
    right[right == level] = 255
    check(saved(grey, "PNG", transparency=level), square(Image.fromarray(right)))
    right = np.asarray(scene()).copy()
    right[(right == RED).all(axis=-1)] = BACKGROUND
    check(saved(scene(), "PNG", transparency=RED), square(Image.fromarray(right)))


@pytest.mark.parametrize("kind, options", [entry for entry in LOSSLESS if entry[0] != "BMP"])
@pytest.mark.parametrize("background", [BACKGROUND, (0, 0, 0)])
def test_alpha(kind, options, background):
    alpha = np.tile(np.linspace(1, 255, 60).astype(np.uint8), (40, 1))
    picture = scene()
    picture.putalpha(Image.fromarray(alpha))
    share = alpha[..., None] / 255
    right = np.rint(np.asarray(scene()) * share + np.array(background) * (1 - share))
    right = square(Image.fromarray(right.astype(np.uint8)))
    check(saved(picture, kind, **options), right, tolerance=1, background=background)


def test_grey_with_alpha():
    picture = scene().convert("LA")
    picture.putalpha(0)
    check(saved(picture, "PNG"), np.full((SIZE, SIZE, 3), 255))


@pytest.mark.parametrize("kind", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits(kind, channels):
    right = noise().convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
    stored = np.asarray(right).astype(np.uint16) * 257
    if channels > 1:
        stored = np.concatenate([stored[..., 2::-1], stored[..., 3:]], axis=-1)
    _, content = cv2.imencode(kind, stored)
    check(content.tobytes(), square(right))


def test_sixteen_bits_are_rounded():
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    content = saved(Image.fromarray(levels), "PNG")
    right = np.rint(levels / 257).astype(np.uint8)
    np.testing.assert_array_equal(read_image(content, 256)[..., 1], right)


@pytest.mark.parametrize("inks", [(0, 200, 100, 20), (255, 0, 0, 0), (10, 10, 10, 240), (0,) * 4])
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind, inks):
    # Each ink, and black, takes its share of the light.
    right = [round((255 - ink) * (255 - inks[3]) / 255) for ink in inks[:3]]
    content = saved(Image.new("CMYK", (60, 40), inks), kind)
    check(content, np.broadcast_to(right, (SIZE, SIZE, 3)), tolerance=2)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}.get(kind, {})
    content = saved(scene(), kind, exif=exif, **options)
    turned = scene()
    turned.getexif()[0x0112] = orientation
    right = square(ImageOps.exif_transpose(turned))
    # The edges of the squares are soft in a JPEG.
    picture = read_image(content, SIZE)
    assert np.abs(picture.astype(int) - right).mean() < (8 if kind == "JPEG" else 0.01)
    corners = np.ix_([1, -2], [1, -2])
    assert np.abs(picture[corners].astype(int) - right[corners]).max() < 20


def test_orientation_and_alpha_together():
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = scene()
    picture.putalpha(Image.fromarray(np.repeat([[255, 0]], 30, 1).repeat(40, 0).astype(np.uint8)))
    right = np.asarray(scene()).copy()
    right[:, 30:] = 255
    right = square(Image.fromarray(np.rot90(right, -1)))
    check(saved(picture, "PNG", exif=exif), right)


def test_the_first_frame_of_an_animation():
    frames = [scene().quantize(4), ImageOps.mirror(scene()).quantize(4)]
    content = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    check(content, square(scene()))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.97])
def test_truncated(kind, share, capfd):
    content = saved(noise(), kind)
    with pytest.raises(ImageError) as error:
        read_image(content[: int(share * len(content))], SIZE)
    assert 0 < len(str(error.value)) < 100
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("picture", [noise(), scene(200, 200)])
def test_damaged_jpeg(picture, progressive, capfd):
    content = saved(picture, "JPEG", progressive=progressive)
    lost = content[: 2 * len(content) // 3] + b"\xff\xd9"
    with pytest.raises(ImageError, match=r"JPEG: (premature end of data segment|damaged)"):
        read_image(lost, SIZE)
    # Bytes that do not belong there do no harm.
    padded = content[:-2] + bytes(20) + content[-2:]
    np.testing.assert_array_equal(read_image(padded, SIZE), read_image(content, SIZE))
    assert capfd.readouterr() == ("", "")


def test_damaged_png(capfd):
    content = bytearray(saved(noise(), "PNG"))
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(range(40))
    with pytest.raises(ImageError, match=r"PNG: (broken|unrecognized) data stream"):
        read_image(bytes(content), SIZE)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "empty"),
        (b"hello", "no picture"),
        (bytes(1000), "no picture"),
        (b"\xff\xd8\xff\xe0" + bytes(50), "JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture"),
    ],
)
def test_no_pictures(content, reason, capfd):
    with pytest.raises(ImageError, match=reason):
        read_image(content, SIZE)
    assert capfd.readouterr() == ("", "")


def test_thirty_two_bits_are_refused():
    with pytest.raises(ImageError, match="TIFF: 32 bits a channel"):
        read_image(saved(Image.fromarray(np.ones((9, 9), np.float32)), "TIFF"), SIZE)


def test_stderr_comes_back(capfd):
    with pytest.raises(ImageError):
        read_image(b"\xff\xd8 no", SIZE)
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("kind", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_that_hold_fewer_are_as_light_as_those(kind, channels, bits):
    right = noise().convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
    values = np.asarray(right).astype(np.uint16)
    stored = np.rint(values / 255 * (2**bits - 1)).astype(np.uint16)
    if channels > 1:
        stored = np.concatenate([stored[..., 2::-1], values[..., 3:] * 257], axis=-1)
    _, content = cv2.imencode(kind, stored)
    if (kind, channels) == (".tiff", 4):  # such a TIFF stays dark: Pillow keeps the upper bits
        assert read_image(content.tobytes(), SIZE).max() < 255
        return
    check(content.tobytes(), square(right))


def test_sixteen_bits_that_hold_fewer_are_turned_too():
    values = np.asarray(scene()).astype(np.uint16) * 16
    content = cv2.imencode(".png", values[..., ::-1])[1].tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    data = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = len(data).to_bytes(4, "big") + b"eXIf" + data
    chunk += zlib.crc32(chunk[4:]).to_bytes(4, "big")
    content = content[:33] + chunk + content[33:]  # behind the header
    right = np.rint(np.rot90(values, -1) / 4095 * 255).astype(np.uint8)
    check(content, square(Image.fromarray(right)))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("picture", [noise(), scene(200, 200), scene(8, 8)])
@pytest.mark.parametrize("lost", [1, 2])
def test_a_jpeg_without_its_last_bytes(picture, progressive, lost, capfd):
    content = saved(picture, "JPEG", progressive=progressive)
    right = read_image(content, SIZE)
    np.testing.assert_array_equal(read_image(content[:-lost], SIZE), right)
    assert capfd.readouterr() == ("", "")


def test_a_jpeg_without_pixels_at_its_end_is_truncated():
    content = saved(noise(), "JPEG")
    for lost in (40, 200, len(content) // 2):
        with pytest.raises(ImageError, match="JPEG: truncated"):
            read_image(content[:-lost], SIZE)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_large_jpeg_is_refused_as_a_large_png_is(progressive, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for kind, options in (("JPEG", {"progressive": progressive}), ("PNG", {})):
        with pytest.raises(ImageError, match=r"^too large: .*2400 pixels"):
            read_image(saved(scene(), kind, **options), SIZE)
        read_image(saved(scene(40, 50), kind, **options), SIZE)


def test_a_jpeg_of_a_forged_size_takes_no_memory():
    content = bytearray(saved(scene(), "JPEG"))
    header = content.index(b"\xff\xc0")
    content[header + 5 : header + 9] = b"\xff\xff" * 2
    tracemalloc.start()
    with pytest.raises(ImageError, match="too large: 4294836225 pixels, more than 178956970"):
        read_image(bytes(content), SIZE)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
