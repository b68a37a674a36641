"""Bytes to pixels: what is read, what is refused and when, and that nothing leaks."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps, PngImagePlugin

import faces.image
from faces.errors import ImageRefused, ImageTooLarge, ImageTypeRefused, ImageUnreadable
from faces.image import ImageLimits, read_image

KINDS = ["JPEG", "PNG", "WebP"]
QUARTERS = np.zeros((16, 24, 3), dtype=np.uint8)  # four colours: no two turns of it are equal
QUARTERS[:8, :12], QUARTERS[:8, 12:], QUARTERS[8:, :12] = (200, 30, 30), (30, 200, 30), (30, 30, 200)


def saved(picture: Pillow.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def quarters(kind: str, **options: object) -> bytes:
    return saved(Pillow.fromarray(QUARTERS), kind, **({"quality": 95} | options))


def plain(mode: str, colour: object) -> Pillow.Image:
    return Pillow.new(mode, (6, 4), colour)  # type: ignore[arg-type]


def near(image: NDArray[np.uint8], colour: tuple[int, int, int], slack: int = 3) -> bool:
    return image.shape == (4, 6, 3) and bool((np.abs(image.astype(int) - colour) <= slack).all())


class TestWhatIsRead:
    @pytest.mark.parametrize("kind", KINDS)
    def test_colours_are_red_green_blue(self, kind):
        image = read_image(quarters(kind, subsampling=0) if kind == "JPEG" else quarters(kind))
        assert image.dtype == np.uint8
        assert image.shape == (16, 24, 3)
        assert np.abs(image[4, 4].astype(int) - (200, 30, 30)).max() < 12

    @pytest.mark.parametrize(
        ("picture", "colour"),
        [
            pytest.param(plain("1", 1), (255, 255, 255), id="one bit"),
            pytest.param(plain("L", 90), (90, 90, 90), id="grey"),
            pytest.param(plain("I;16", 90 * 256 + 17), (90, 90, 90), id="16-bit grey: the upper eight bits"),
            pytest.param(plain("LA", (90, 255)), (90, 90, 90), id="grey, opaque"),
            pytest.param(plain("LA", (90, 0)), (255, 255, 255), id="grey, transparent: on white"),
            pytest.param(plain("RGB", (10, 20, 30)), (10, 20, 30), id="RGB"),
            pytest.param(plain("RGBA", (10, 20, 30, 255)), (10, 20, 30), id="RGBA, opaque"),
            pytest.param(plain("RGBA", (10, 20, 30, 0)), (255, 255, 255), id="RGBA, transparent: on white"),
            pytest.param(plain("RGBA", (11, 55, 255, 128)), (133, 155, 255), id="RGBA, half: half white"),
            pytest.param(plain("RGB", (10, 20, 30)).quantize(4), (10, 20, 30), id="palette"),
        ],
    )
    def test_every_kind_of_png(self, picture, colour):
        assert near(read_image(saved(picture, "PNG")), colour, slack=1)

    def test_a_palette_with_a_transparent_colour_is_laid_on_white(self):
        palette = plain("RGB", (10, 20, 30)).quantize(4)
        assert near(read_image(saved(palette, "PNG", transparency=palette.getpixel((0, 0)))), (255, 255, 255))

    @pytest.mark.parametrize("channels", [3, 4])
    def test_a_16_bit_png_keeps_its_upper_eight_bits(self, channels):
        pixels = np.empty((4, 6, channels), dtype=np.uint16)
        pixels[:] = [30 * 257, 20 * 257, 10 * 257, 65535][:channels]  # OpenCV writes blue first
        assert near(read_image(cv2.imencode(".png", pixels)[1].tobytes()), (10, 20, 30), slack=1)

    @pytest.mark.parametrize(
        ("picture", "colour"),
        [
            pytest.param(plain("L", 90), (90, 90, 90), id="grey"),
            pytest.param(plain("RGB", (10, 20, 30)), (10, 20, 30), id="YCbCr"),
            pytest.param(plain("CMYK", (0, 255, 255, 0)), (255, 0, 0), id="CMYK"),
        ],
    )
    @pytest.mark.parametrize("progressive", [False, True])
    def test_every_kind_of_jpeg(self, picture, colour, progressive):
        assert near(read_image(saved(picture, "JPEG", quality=100, progressive=progressive)), colour)

    @pytest.mark.parametrize("lossless", [False, True])
    @pytest.mark.parametrize(("alpha", "colour"), [(255, (10, 20, 30)), (0, (255, 255, 255))])
    def test_every_kind_of_webp(self, lossless, alpha, colour):
        assert near(read_image(saved(plain("RGBA", (10, 20, 30, alpha)), "WebP", lossless=lossless)), colour, slack=5)

    @pytest.mark.parametrize("kind", ["PNG", "WebP"])
    def test_the_first_frame_of_an_animation(self, kind):
        others = [plain("RGB", (0, 200, 0)), plain("RGB", (0, 0, 200))]
        animation = saved(plain("RGB", (200, 0, 0)), kind, save_all=True, append_images=others, lossless=True)
        assert near(read_image(animation), (200, 0, 0), slack=5)

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_name_of_a_file_does_not_matter_its_bytes_do(self, kind, tmp_path):
        path = tmp_path / "portrait.gif"
        path.write_bytes(quarters(kind))
        assert read_image(path.read_bytes()).shape == (16, 24, 3)


class TestOrientation:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_a_photo_stands_upright_as_exif_says(self, kind, orientation):
        exif = Pillow.Exif()
        exif[0x0112] = orientation
        data = quarters(kind, exif=exif.tobytes())
        upright = ImageOps.exif_transpose(Pillow.open(io.BytesIO(data)))
        np.testing.assert_array_equal(read_image(data), np.asarray(upright.convert("RGB")))

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_either_byte_order(self, order):
        tiff = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IHHHIHH", 8, 1, 0x0112, 3, 1, 6, 0)
        assert read_image(quarters("JPEG", exif=b"Exif\0\0" + tiff)).shape == (24, 16, 3)

    @pytest.mark.parametrize(
        "exif",
        [
            pytest.param(b"Exif\0\0", id="empty"),
            pytest.param(b"Exif\0\0II*\0\xff\xff\xff\xff", id="points outside"),
            pytest.param(b"Exif\0\0II*\0" + struct.pack("<IH", 8, 65535), id="more entries than bytes"),
            pytest.param(b"Exif\0\0II*\0" + struct.pack("<IHHHIHH", 8, 1, 0x0112, 3, 1, 9, 0), id="no such turn"),
            pytest.param(b"Exif\0\0neither", id="no TIFF"),
        ],
    )
    @pytest.mark.parametrize("kind", KINDS)
    def test_damaged_exif_is_no_reason_to_refuse_a_photo(self, kind, exif):
        assert read_image(quarters(kind, exif=exif)).shape == (16, 24, 3)


def jpeg_header(width: int, height: int) -> bytes:
    frame = struct.pack(">HBHHB", 17, 8, height, width, 3) + b"\x01\x22\0\x02\x11\x01\x03\x11\x01"
    return b"\xff\xd8\xff\xc0" + frame + b"\xff\xda\0\x0c\x03\x01\0\x02\x11\x03\x11\0\x3f\0\xff\xd9"


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_header(width: int, height: int) -> bytes:
    frame = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + frame + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")


def webp_header(width: int, height: int) -> bytes:
    frame = b"VP8X" + struct.pack("<I4x", 10) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 4 + len(frame)) + b"WEBP" + frame


HEADERS: list[Callable[[int, int], bytes]] = [jpeg_header, png_header, webp_header]


class TestLimits:
    @pytest.mark.parametrize("header", HEADERS)
    @pytest.mark.parametrize(
        ("width", "height", "limits", "message"),
        [
            (50_000, 50_000, ImageLimits(), "a side of more than 16384 pixels: '50000×50000'. Scale the picture down."),
            (10_000, 9_000, ImageLimits(), "more than 50000000 pixels: '10000×9000'. Scale the picture down."),
            (101, 100, ImageLimits(pixels=10_099), "more than 10099 pixels: '101×100'. Scale the picture down."),
            (101, 100, ImageLimits(side=100), "a side of more than 100 pixels: '101×100'. Scale the picture down."),
        ],
    )
    def test_a_size_is_refused_by_the_header_alone(self, header, width, height, limits, message, monkeypatch):
        monkeypatch.setattr(faces.image, "_DECODERS", {})  # nobody may be asked to decode it
        with pytest.raises(ImageTooLarge) as refusal:
            read_image(header(width, height), limits)
        assert str(refusal.value) == message

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_photo_exactly_at_every_limit_is_read(self, kind):
        data = quarters(kind)
        assert read_image(data, ImageLimits(bytes=len(data), pixels=16 * 24, side=24)).shape == (16, 24, 3)

    def test_too_many_bytes_are_refused_before_they_are_looked_at(self):
        with pytest.raises(ImageTooLarge, match=r"^more than 10 bytes: 11\. Send a smaller file\.$"):
            read_image(b"not a photo", ImageLimits(bytes=10))

    @pytest.mark.parametrize("header", [jpeg_header, png_header])
    def test_a_picture_without_pixels_is_damaged(self, header):
        with pytest.raises(ImageUnreadable, match="a picture without pixels: '0×7'"):
            read_image(header(0, 7))


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("data", "name"),
        [
            pytest.param(saved(plain("RGB", 0), "GIF"), "GIF", id="GIF"),
            pytest.param(saved(plain("RGB", 0), "BMP"), "BMP", id="BMP"),
            pytest.param(saved(plain("RGB", 0), "TIFF"), "TIFF", id="TIFF"),
            pytest.param(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC", id="HEIC"),
            pytest.param(b"\0\0\0\x18ftypavif\0\0\0\0avifmif1", "AVIF", id="AVIF"),
            pytest.param(b"\0\0\0\x18ftypisom\0\0\0\0isomavc1", "video", id="MP4"),
            pytest.param(b"RIFF\x24\0\0\0WAVEfmt ", "RIFF", id="WAV"),
            pytest.param(b"%PDF-1.7", "PDF", id="PDF"),
            pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "text", id="SVG"),
            pytest.param(b"\x01\x02\x03\x04\x05", "01020304", id="anything else"),
        ],
    )
    def test_another_type_is_refused_by_name(self, data, name):
        with pytest.raises(ImageTypeRefused) as refusal:
            read_image(data)
        expected = f"not a JPEG, PNG or WebP image: {name!r}. Convert it to JPEG, PNG or WebP."
        assert str(refusal.value) == expected
        assert refusal.value.code == "image_type_refused"

    def test_an_empty_file_is_damaged(self):
        with pytest.raises(
            ImageUnreadable, match=r"^the file is empty: 0\. The file is damaged: send the original again\.$"
        ):
            read_image(b"")

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("progressive", [False, True])
    def test_a_file_cut_short_anywhere_is_an_error_and_not_half_a_picture(self, kind, progressive):
        noise = Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
        data = saved(noise, kind, **({"progressive": progressive} if kind == "JPEG" else {}))
        for length in [*range(12, len(data), 211), len(data) - 2]:
            with pytest.raises(ImageUnreadable):
                read_image(data[:length])

    def test_a_picture_of_another_size_than_its_header_says_is_damaged(self):
        data = bytearray(saved(plain("RGB", 0), "WebP", lossless=True, exif=b"II*\0" + bytes(8)))
        assert data[12:16] == b"VP8X"
        data[24] = 2
        with pytest.raises(ImageUnreadable, match="WebP cannot be decoded"):
            read_image(bytes(data))


class TestNothingLeaks:
    @settings(max_examples=300)
    @given(
        st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBP", b"RIFF\x40\0\0\0WEBPVP8X"]),
        st.binary(max_size=80),
    )
    def test_any_bytes_give_a_picture_or_a_refusal(self, magic, rest):
        with pytest.raises(ImageRefused):
            read_image(magic + rest)

    @settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.sampled_from(KINDS), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4))
    def test_a_damaged_photo_gives_a_picture_or_a_refusal_and_no_noise(self, capfd, kind, changes):
        data = bytearray(quarters(kind, exif=b"Exif\0\0II*\0" + struct.pack("<IHHHIHH", 8, 1, 0x0112, 3, 1, 6, 0)))
        for at, value in changes:
            data[at % len(data)] = value
        try:
            image = read_image(bytes(data))
        except ImageRefused:
            pass
        else:
            assert image.ndim == 3
        assert capfd.readouterr() == ("", "")

    def test_text_that_would_unpack_to_megabytes_is_never_unpacked(self):
        text = PngImagePlugin.PngInfo()
        text.add_text("comment", "x" * 30_000_000, zip=True)
        assert near(read_image(saved(plain("RGB", (10, 20, 30)), "PNG", pnginfo=text)), (10, 20, 30), slack=0)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG"])
    def test_the_limits_are_ours_and_not_those_at_which_pillow_warns(self, kind, monkeypatch):
        monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 10)
        assert read_image(quarters(kind)).shape == (16, 24, 3)


@pytest.mark.real
def test_real_photos_read_as_pillow_reads_them(shared: Path):
    for path in sorted((shared / "data" / "scenes").iterdir()):
        upright = ImageOps.exif_transpose(Pillow.open(path)).convert("RGB")
        np.testing.assert_array_equal(read_image(path.read_bytes()), np.asarray(upright))
