"""A download is kept whole, and only when it is the file that was meant."""

import socket
import threading

import pytest

from faces.errors import WeightsMissing, WeightsUnreadable
from faces.space import digest
from kd.imports.download import download

DATA = bytes(range(256)) * 300


@pytest.fixture
def kept(tmp_path):
    folder = tmp_path / "kept"
    folder.mkdir()
    return folder


def test_a_file_with_the_right_sha256_is_kept_under_its_own_name(served, kept):
    (served[0] / "weights.pt").write_bytes(DATA)
    file = download(f"{served[1]}/weights.pt", digest(DATA).upper(), kept)
    assert file == kept / "weights.pt"
    assert file.read_bytes() == DATA


def test_what_is_there_already_is_not_fetched_again(served, kept):
    (kept / "weights.pt").write_bytes(DATA)
    assert download(f"{served[1]}/weights.pt", digest(DATA), kept).read_bytes() == DATA


def test_a_damaged_file_that_was_kept_is_fetched_again(served, kept):
    (served[0] / "weights.pt").write_bytes(DATA)
    (kept / "weights.pt").write_bytes(DATA[:100])
    assert download(f"{served[1]}/weights.pt", digest(DATA), kept).read_bytes() == DATA


def test_another_file_is_refused_with_both_values_and_not_kept(served, kept):
    (served[0] / "weights.pt").write_bytes(DATA[1:])
    with pytest.raises(WeightsUnreadable, match=f"SHA-256 is {digest(DATA[1:])}, but {digest(DATA)} was expected"):
        download(f"{served[1]}/weights.pt", digest(DATA), kept)
    assert list(kept.iterdir()) == []


def test_an_address_without_the_file_is_an_error_with_the_status(served, kept):
    with pytest.raises(WeightsMissing, match=r"HTTP status 404.*--weights FILE"):
        download(f"{served[1]}/absent.pt", digest(DATA), kept)


def test_no_network_is_an_error_that_says_what_to_do(kept):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/weights.pt"
        with pytest.raises(WeightsMissing, match=r"cannot be downloaded.*--weights FILE"):
            download(url, digest(DATA), kept)


def test_a_connection_that_breaks_off_keeps_nothing(kept):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)  # should nobody come

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(WeightsMissing, match="cannot be downloaded"):
            download(f"http://127.0.0.1:{server.getsockname()[1]}/weights.pt", digest(DATA), kept)
        thread.join()
    assert list(kept.iterdir()) == []


@pytest.mark.parametrize("sha256", ["281cebca", "", "z" * 64])
def test_what_is_no_sha256_is_an_error(served, kept, sha256):
    (served[0] / "weights.pt").write_bytes(DATA)
    with pytest.raises(WeightsUnreadable, match="not a SHA-256"):
        download(f"{served[1]}/weights.pt", sha256, kept)
