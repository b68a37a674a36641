"""Alive, ready."""

from index.errors import GalleryUnavailable


def test_alive(client):
    response = client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_ready(client):
    response = client.get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_a_service_whose_gallery_cannot_be_read_is_alive_but_not_ready(client, engine, monkeypatch):
    def fail():
        raise GalleryUnavailable("disk I/O error", "g.heirloom", "Check the disk.")

    monkeypatch.setattr(engine.gallery, "stats", fail)
    response = client.get("/readyz")
    assert (response.status_code, response.json()["error"]["code"]) == (503, "not_ready")
    assert response.json()["error"]["details"]["value"] == "gallery_unavailable"
    assert response.headers["retry-after"] == "1"
    assert client.get("/healthz").status_code == 200
