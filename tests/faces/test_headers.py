"""What a file says of itself, and what of it a decoder is given."""

import io

import pytest
from PIL import Image as Pillow
from PIL import PngImagePlugin

from faces.errors import ImageUnreadable
from faces.headers import read_header


def saved(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Pillow.new("RGB", (31, 17), (1, 2, 3)).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WebP", {"lossless": False}),
        ("WebP", {"lossless": True}),
        ("WebP", {"exif": b"Exif\0\0"}),
    ],
)
def test_kind_and_size(kind, options):
    header = read_header(saved(kind, **options))
    assert (header.kind, header.width, header.height, header.orientation) == (kind, 31, 17, 1)


def test_no_profile_comment_or_metadata_of_a_jpeg_reaches_a_decoder():
    bare = saved("JPEG")
    dressed = saved("JPEG", exif=b"Exif\0\0thumbnail", icc_profile=b"profile" * 9, comment=b"who it is")
    assert len(dressed) > len(bare)
    assert read_header(dressed).pixels == read_header(bare).pixels == bare


def test_no_text_or_metadata_of_a_png_reaches_a_decoder():
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "who it is")
    dressed = saved("PNG", pnginfo=text, exif=b"II*\0", icc_profile=b"profile" * 9, dpi=(72, 72))
    assert read_header(dressed).pixels == read_header(saved("PNG")).pixels


def test_what_a_camera_appends_after_a_picture_does_not_matter():
    assert read_header(saved("PNG") + b"trailer").pixels == read_header(saved("PNG")).pixels
    assert read_header(saved("JPEG") + b"trailer").width == 31


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xd8\xff", "the header ends early: 3."),
        (b"\xff\xd8\xff\xe0\x00\x04ab\x00", "no JPEG marker at byte: 8."),
        (saved("PNG")[:50], "the file ends inside a chunk, after bytes: 50."),
        (saved("WebP")[:40], f"the file says it has {len(saved('WebP'))} bytes, but has: 40."),
        (b"RIFF\x0c\0\0\0WEBPICCP\0\0\0\0", "a WebP file without a picture, of bytes: 20."),
    ],
)
def test_a_damaged_header_is_an_error_that_says_where(data, message):
    with pytest.raises(ImageUnreadable) as refusal:
        read_header(data)
    assert str(refusal.value) == f"{message} The file is damaged: send the original again."
