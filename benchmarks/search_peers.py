"""What else people search embeddings with, each as its users call it: exact ones, graphs, and those that read anew."""

import importlib
import pickle
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from benchmarks.search_faces import Rows
from faces.embed import Vectors

Search = Callable[[Vectors, int], Rows]
"""Probes (m, dim), k -> (m, k) rows."""

_BLAS_DEFAULT = faiss.cvar.distance_compute_blas_threshold
_CANDIDATES = 64  # links a graph looks at: efSearch


@dataclass(frozen=True, slots=True)
class Contender:
    name: str
    search: Search
    batches: bool = True
    """Whether it is worth asking for 64 at once."""
    by_subject: bool = False
    """Whether it answers with the best Template of each Subject."""


class Missing(Exception):
    """The package that this contender needs is not installed."""


Peer = Callable[[Vectors, int, ExitStack], list[Contender]]
"""Unit rows (n, dim), threads -> contenders over them; the stack closes what has to be closed."""


def faiss_flat(rows: Vectors, threads: int, _: ExitStack) -> list[Contender]:
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)

    def search_with(count: int, blas_from: int) -> Search:
        def search(probes: Vectors, k: int) -> Rows:
            faiss.omp_set_num_threads(count)
            faiss.cvar.distance_compute_blas_threshold = blas_from
            found: Rows = index.search(probes, k)[1]
            return found

        return search

    return [
        Contender("FAISS IndexFlatIP, as it comes", search_with(threads, _BLAS_DEFAULT)),
        Contender("FAISS IndexFlatIP, one thread", search_with(1, _BLAS_DEFAULT), batches=False),
        Contender("FAISS IndexFlatIP, BLAS forced", search_with(threads, 1)),
    ]


def numpy_product(rows: Vectors, _: int, __: ExitStack) -> list[Contender]:
    def search(probes: Vectors, k: int) -> Rows:
        scores = probes @ rows.T
        best = np.argpartition(scores, -k, axis=1)[:, -k:]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        return np.take_along_axis(best, order, axis=1)

    return [Contender("numpy, product and argpartition", search)]


def usearch_exact(rows: Vectors, threads: int, _: ExitStack) -> list[Contender]:
    usearch = _package("usearch.index")

    def search(probes: Vectors, k: int) -> Rows:
        found = usearch.search(rows, probes, k, usearch.MetricKind.IP, exact=True, threads=threads)
        return np.atleast_2d(found.keys).astype(np.int64)

    return [Contender("usearch, exact", search)]


def faiss_graph(rows: Vectors, threads: int, _: ExitStack) -> list[Contender]:
    faiss.omp_set_num_threads(threads)
    index = faiss.IndexHNSWFlat(rows.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.add(rows)
    index.hnsw.efSearch = _CANDIDATES

    def search(probes: Vectors, k: int) -> Rows:
        faiss.omp_set_num_threads(threads)
        found: Rows = index.search(probes, k)[1]
        return found

    return [Contender(f"FAISS HNSW, 32 links, efSearch {_CANDIDATES}", search)]


def usearch_graph(rows: Vectors, threads: int, _: ExitStack) -> list[Contender]:
    usearch = _package("usearch.index")
    index = usearch.Index(ndim=rows.shape[1], metric="ip", dtype="f32", expansion_search=_CANDIDATES)
    index.add(np.arange(len(rows)), rows, threads=threads)

    def search(probes: Vectors, k: int) -> Rows:
        return np.atleast_2d(index.search(probes, k, threads=threads).keys).astype(np.int64)

    return [Contender(f"usearch HNSW, expansion {_CANDIDATES}", search)]


def milvus_lite(rows: Vectors, _: int, stack: ExitStack) -> list[Contender]:
    pymilvus = _package("pymilvus")
    _package("milvus_lite")
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    client = pymilvus.MilvusClient(str(Path(folder) / "peer.db"))
    stack.callback(client.close)
    schema = client.create_schema()
    schema.add_field("id", pymilvus.DataType.INT64, is_primary=True)
    schema.add_field("vector", pymilvus.DataType.FLOAT_VECTOR, dim=rows.shape[1])
    indexes = client.prepare_index_params()
    indexes.add_index("vector", index_type="FLAT", metric_type="IP")
    client.create_collection("peer", schema=schema, index_params=indexes)
    for start in range(0, len(rows), 5000):
        block = enumerate(rows[start : start + 5000], start)
        client.insert("peer", [{"id": number, "vector": row} for number, row in block])

    def search(probes: Vectors, k: int) -> Rows:
        found = client.search("peer", data=probes.tolist(), limit=k, output_fields=["id"])
        return np.array([[hit["id"] for hit in hits] for hits in found])

    return [Contender("milvus-lite, FLAT", search)]


def pickle_scan(rows: Vectors, _: int, stack: ExitStack) -> list[Contender]:
    """What deepface's `find` does for every query (deepface/modules/recognition.py): read the gallery from a pickle of
    dicts with lists of numbers, go through it in Python, one distance at a time, and sort. Its pandas rows and its walk
    through the photos, which cost it more, are left out.
    """
    file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "ds_model.pkl"
    file.write_bytes(pickle.dumps([{"identity": str(n), "embedding": row.tolist()} for n, row in enumerate(rows)]))

    def search(probes: Vectors, k: int) -> Rows:
        answers = []
        for target in probes:
            gallery = pickle.loads(file.read_bytes())  # noqa: S301 - what it measures
            distances = [_cosine_distance(np.asarray(entry["embedding"]), target) for entry in gallery]
            answers.append(np.argsort(distances, kind="stable")[:k])
        return np.array(answers)

    return [Contender("pickle scan, as deepface's find", search, batches=False)]


def _cosine_distance(source: Any, test: Any) -> float:
    product = np.matmul(source, test)
    return float(1 - product / (np.sqrt(np.sum(source * source)) * np.sqrt(np.sum(test * test))))


EXACT: tuple[Peer, ...] = (faiss_flat, numpy_product, usearch_exact)
GRAPHS: tuple[Peer, ...] = (faiss_graph, usearch_graph)
READERS: tuple[Peer, ...] = (milvus_lite, pickle_scan)


@contextmanager
def opened(peers: tuple[Peer, ...], rows: Vectors, threads: int) -> Iterator[tuple[list[Contender], list[str]]]:
    """Contenders over these rows, and the names of packages that are not installed."""
    missing: list[str] = []
    with ExitStack() as stack:

        def of(peer: Peer) -> list[Contender]:
            try:
                return peer(rows, threads, stack)
            except Missing as error:
                missing.append(str(error))
                return []

        yield list(chain.from_iterable(of(peer) for peer in peers)), missing


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise Missing(name.partition(".")[0].replace("_", "-")) from None
