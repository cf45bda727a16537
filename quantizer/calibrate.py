"""One pass over the data through the float network, collecting statistics.

The work is divided by sample ids: in one process, in a pool, or as shards in files that `merge`
puts together. Statistics add up exactly, so all of these give the same bytes.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from demitasse.errors import DataError
from demitasse.quantizer import statistics
from demitasse.quantizer.datasets import Dataset
from demitasse.quantizer.drift import half_of
from demitasse.quantizer.preprocess import Preprocess, check_single
from demitasse.quantizer.statistics import Statistics, merge_all
from demitasse.runtime.operators import add_operators, added_operators

DEFAULT_COUNT = 256
PARTS_PER_WORKER = 4  # small enough to even out, large enough to be worth a message

Observer = Callable[[str, np.ndarray], None]
Feeds = Dataset | Mapping[str, Dataset]
Halves = tuple[Statistics, Statistics]


class Engine(Protocol):
    """What runs the float network."""

    def observe(self, inputs: dict[str, np.ndarray], callback: Observer) -> None:
        """Run once, batch 1; call back with each tensor's name and float32 value (N, C, ...).

        The array need not outlive the call.
        """
        ...


# Opens the engine, once a process. Has to pickle when there are several: a function of a module, or
# functools.partial of one over a file's path.
OpenEngine = Callable[[], Engine]


@dataclass(frozen=True)
class _Job:
    """All that a process needs besides the positions of its samples."""

    open_engine: OpenEngine
    datasets: dict[str, Dataset]
    preprocess: Preprocess
    shapes: dict[str, tuple[int, ...]]
    context: dict[str, Any]

    @property
    def main(self) -> Dataset:
        """The data whose ids name the samples: the first input's."""
        return next(iter(self.datasets.values()))


def collect(
    open_engine: OpenEngine,
    data: Feeds,
    preprocess: Preprocess,
    input_shapes: Mapping[str, tuple[int, ...]],
    *,
    count: int | None = DEFAULT_COUNT,
    seed: int = 0,
    shard: tuple[int, int] = (1, 1),
    workers: int = 1,
    model: str = "",
    quiet: bool = True,
) -> Statistics:
    """Run `count` samples (None: all) and collect the statistics of inputs and all tensors.

    data: the only input's samples, or a dataset for each input, the i-th samples going together.
    input_shapes: the network's inputs by name, (1, C, H, W) or any rank with blobs.
    shard: (i, n) takes every n-th of the chosen samples, beginning with the i-th (1..n).
    model: what names the network (a hash); merging refuses statistics of another.
    Raises DataError for data that does not fit the network, naming file or sample.
    """
    check_single(input_shapes)
    datasets = _feeds(data, list(input_shapes))
    positions = _positions(next(iter(datasets.values())), count, seed, shard)
    shapes = {name: tuple(shape) for name, shape in input_shapes.items()}
    context = {
        "model": model,
        "preprocess": preprocess.describe(),
        "ranges": {
            name: list(preprocess.range(shapes[name][1]))
            for name, dataset in datasets.items()
            if dataset.kind == "image" and _takes_bytes(shapes[name], preprocess)
        },
    }
    job = _Job(open_engine, datasets, preprocess, shapes, context)
    with tqdm(total=len(positions), desc="calibrate", unit="sample", disable=quiet) as bar:
        if workers <= 1 or len(positions) < 2:
            return _together(_run(job, open_engine(), positions, bar.update))
        return _together(_run_pool(job, positions, workers, bar.update))


def _takes_bytes(shape: tuple[int, ...], preprocess: Preprocess) -> bool:
    """Whether every byte of a picture becomes the same value wherever it stands."""
    return len(shape) == 4 and shape[1] in (1, 3) and preprocess.mean_image is None


def parse_shard(text: str) -> tuple[int, int]:
    """`i/n`, 1 <= i <= n."""
    first, slash, second = text.partition("/")
    if not slash or not first.isdecimal() or not second.isdecimal():
        raise DataError(f"'{text}' is no shard", remedy="write i/n, such as 2/8")
    return _checked_shard((int(first), int(second)))


def _checked_shard(shard: tuple[int, int]) -> tuple[int, int]:
    if not 1 <= shard[0] <= shard[1]:
        raise DataError(
            f"shard {shard[0]}/{shard[1]} does not exist", remedy="count from 1/n to n/n"
        )
    return shard


def _feeds(data: Feeds, names: list[str]) -> dict[str, Dataset]:
    if isinstance(data, Dataset):
        if len(names) != 1:
            raise DataError(
                f"data for one input, the network has {len(names)}: {', '.join(names)}",
                remedy="give data for each of them",
            )
        return {names[0]: data}
    if sorted(data) != sorted(names):
        raise DataError(f"data for inputs {', '.join(data)}, the network has {', '.join(names)}")
    if len({len(dataset) for dataset in data.values()}) > 1:
        sizes = ", ".join(f"{name} {len(data[name])}" for name in names)
        raise DataError(f"the inputs differ in their number of samples: {sizes}")
    return {name: data[name] for name in names}


def _positions(dataset: Dataset, count: int | None, seed: int, shard: tuple[int, int]) -> list[int]:
    """Positions in the dataset of the samples to run, ascending."""
    first, step = _checked_shard(shard)
    chosen = dataset if count is None else dataset.subset(count, seed)
    positions = np.searchsorted(dataset.ids, chosen.ids)[first - 1 :: step]
    if not len(positions):
        raise DataError(
            f"no samples to calibrate with ({len(chosen)} in all, shard {first}/{step})"
        )
    return [int(p) for p in positions]


def _run(job: _Job, engine: Engine, positions: list[int], advance: Callable[[int], Any]) -> Halves:
    """The statistics of the samples of each half; of none, nothing."""
    main = job.main
    halves = _no_halves(job)
    ids: tuple[list[int], list[int]] = ([], [])
    for position in positions:
        sample = int(main.ids[position])
        ids[half_of(sample)].append(sample)
        _run_sample(job, engine, position, halves[half_of(sample)])
        advance(1)
    for half, seen in zip(halves, ids, strict=True):
        half.samples = {main.fingerprint: np.array(seen, np.int64)} if seen else {}
    return halves


def _no_halves(job: _Job) -> Halves:
    return Statistics(context=job.context), Statistics(context=job.context)


def _together(halves: Halves) -> Statistics:
    """The statistics of all samples, which remember those of their halves."""
    result = merge_all(half for half in halves if half.count)
    return replace(result, halves=halves if all(half.count for half in halves) else ())


def _run_sample(job: _Job, engine: Engine, position: int, stats: Statistics) -> None:
    inputs = {
        name: job.preprocess.apply(dataset.sample(position), job.shapes[name])
        for name, dataset in job.datasets.items()
    }
    for name, value in inputs.items():
        stats.update(name, value)

    def observe(name: str, value: np.ndarray) -> None:
        if name not in inputs:
            stats.update(name, value)

    engine.observe(inputs, observe)


# A worker's engine and job: opened once a process, used for all its parts.
_worker: tuple[_Job, Engine] | None = None


def _start_worker(job: _Job, libraries: tuple[Path, ...]) -> None:
    global _worker
    for library in libraries:
        add_operators(library)
    _worker = (job, job.open_engine())


def _run_part(positions: list[int]) -> list[bytes]:
    assert _worker is not None
    return [statistics.to_bytes(half) for half in _run(*_worker, positions, lambda _: None)]


def _run_pool(
    job: _Job, positions: list[int], workers: int, advance: Callable[[int], Any]
) -> Halves:
    workers = min(workers, len(positions))
    size = -(-len(positions) // (workers * PARTS_PER_WORKER))
    parts = [positions[i : i + size] for i in range(0, len(positions), size)]
    with ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _start_worker, (job, added_operators())
    ) as pool:
        futures = {pool.submit(_run_part, part): len(part) for part in parts}
        try:
            halves = list(_no_halves(job))
            for parts_halves in _results(futures, advance):
                for i, part in enumerate(parts_halves):
                    halves[i] = _merged(halves[i], part)
            return halves[0], halves[1]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _results(
    futures: Mapping[Any, int], advance: Callable[[int], Any]
) -> Iterator[list[Statistics]]:
    for future in as_completed(futures):
        yield [statistics.from_bytes(half) for half in future.result()]
        advance(futures[future])


def _merged(half: Statistics, part: Statistics) -> Statistics:
    """Both together, where a half may be empty."""
    return merge_all(each for each in (half, part) if each.count) if part.count else half
