"""Define which files the warehouse consists of: a log of small immutable commits.

Decides what a reader sees. A data file exists for readers only through a commit, and each commit is one blob:

- ``catalog/exports/<shard>/<first>-<last>.json``: the files of one range of one shard's journal. Ranges of a shard join
  without gap or overlap; the end of the last is the shard's cursor. Only that shard's owner writes them.
- ``catalog/rewrites/<number>.json``: files that replaced others (compaction, erasure). One maintainer at a time.
- ``catalog/base/<number>.json``: everything up to certain commits, so that those can be deleted.

Guarantees: any crash leaves either the state before a commit or the one after it. Every commit is sealed; a damaged one
is an error, never an empty list. Leaves reading and writing data files to others.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from actors.files.blobs import BlobFolder, SealError, seal, unseal
from whisperer.errors import InvariantError
from whisperer.ids import TenantId

FORMAT_VERSION = 1

_EXPORTS, _REWRITES, _BASE = "catalog/exports", "catalog/rewrites", "catalog/base"


class FileEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A data file. An entry without a dataset, from before there were others, is one of events in format 1.

    Attributes
    ----------
    path : its blob name
    tenant, date, dataset : of all its rows
    n_rows, n_bytes, crc32c : of the file
    ranges : (shard, first, last) positions whose rows of this tenant and date may be in it
    version : format of the dataset that it was written in
    decisions : filter of the decision ids in it (:mod:`.bloom`); b"" where it may hold any
    """

    path: str
    tenant: TenantId
    date: str
    n_rows: int
    n_bytes: int
    crc32c: int
    ranges: list[tuple[int, int, int]]
    dataset: str = "events"
    version: int = 1
    decisions: bytes = b""


class ExportCommit(msgspec.Struct, frozen=True):
    format: int
    shard: int
    first: int
    last: int
    files: list[FileEntry]


class RewriteCommit(msgspec.Struct, frozen=True):
    format: int
    number: int
    reason: str
    adds: list[FileEntry]
    removes: list[str]


class Base(msgspec.Struct, frozen=True):
    format: int
    number: int
    cursors: dict[int, int]
    last_rewrite: int
    files: list[FileEntry]


@dataclass(frozen=True, slots=True)
class State:
    """What a reader sees at one moment.

    Attributes
    ----------
    files : path -> file
    cursors : shard -> position up to which its journal has been exported
    last_rewrite, base_number : numbers of the newest, 0 for none
    n_commits : commits since the base
    """

    files: dict[str, FileEntry]
    cursors: dict[int, int]
    last_rewrite: int
    base_number: int
    n_commits: int


Commit = TypeVar("Commit", ExportCommit, RewriteCommit, Base)


class Catalog:
    """Read and write the commits below one blob folder. Safe for several processes under the rules of the module."""

    def __init__(self, blobs: BlobFolder) -> None:
        self._blobs = blobs
        self._read: dict[str, ExportCommit | RewriteCommit | Base] = {}

    def state(self) -> State:
        """Read what has changed since the last call. Raises InvariantError where commits contradict each other."""
        while True:
            bases = self._blobs.names(_BASE)
            exports = self._blobs.names(_EXPORTS)  # before the rewrites: a rewrite's inputs are then never missing
            rewrites = self._blobs.names(_REWRITES)
            try:
                found = self._combine(bases[-1:], exports, rewrites)
            except FileNotFoundError:
                continue  # folded between listing and reading
            if self._blobs.names(_BASE) == bases:
                known = self._read  # other threads read too: each replaces the whole dict
                self._read = {name: known[name] for name in (*bases[-1:], *exports, *rewrites) if name in known}
                return found

    def commit_export(self, shard: int, first: int, last: int, files: list[FileEntry]) -> None:
        """Make the files of a range visible and move the shard's cursor to ``last``: one atomic step."""
        self._put(
            f"{_EXPORTS}/{shard:04d}/{first:020d}-{last:020d}.json",
            ExportCommit(FORMAT_VERSION, shard, first, last, files),
        )

    def commit_rewrite(self, number: int, reason: str, adds: list[FileEntry], removes: list[str]) -> None:
        """Replace files by others that hold the remaining rows: one atomic step."""
        self._put(f"{_REWRITES}/{number:010d}.json", RewriteCommit(FORMAT_VERSION, number, reason, adds, removes))

    def fold(self) -> None:
        """Write a new base and delete the commits that it makes redundant. The caller is the only maintainer."""
        state = self.state()
        if state.n_commits:
            files = [state.files[path] for path in sorted(state.files)]
            number = state.base_number + 1
            base = Base(FORMAT_VERSION, number, state.cursors, state.last_rewrite, files)
            self._put(f"{_BASE}/{number:010d}.json", base)
            state = self.state()
        for name in self._blobs.names(_BASE)[:-1]:
            self._blobs.delete(name)
        for name in self._blobs.names(_EXPORTS):
            shard, last = _shard_and_last(name)
            if last <= self._newest_base().cursors.get(shard, -1):
                self._blobs.delete(name)
        for name in self._blobs.names(_REWRITES):
            if _number(name) <= self._newest_base().last_rewrite:
                self._blobs.delete(name)

    def _newest_base(self) -> Base:
        names = self._blobs.names(_BASE)
        return self._get(names[-1], Base) if names else Base(FORMAT_VERSION, 0, {}, 0, [])

    def _combine(self, bases: list[str], exports: list[str], rewrites: list[str]) -> State:
        base = self._get(bases[0], Base) if bases else Base(FORMAT_VERSION, 0, {}, 0, [])
        files = {file.path: file for file in base.files}
        cursors = dict(base.cursors)
        n_commits = 0
        by_shard: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for name in exports:
            shard, last = _shard_and_last(name)
            if last > cursors.get(shard, -1):
                by_shard[shard].append((last, name))
        for shard, names in by_shard.items():
            for _, name in sorted(names):
                commit = self._get(name, ExportCommit)
                if commit.first != cursors.get(shard, commit.first):
                    raise InvariantError(
                        f"{name}: shard {shard} was exported to {cursors[shard]}, this starts at {commit.first}"
                    )
                cursors[shard] = commit.last
                files.update((file.path, file) for file in commit.files)
                n_commits += 1
        last_rewrite = base.last_rewrite
        removed: set[str] = set()
        for name in rewrites:
            if _number(name) <= base.last_rewrite:
                continue
            rewrite = self._get(name, RewriteCommit)
            if not removed.isdisjoint(rewrite.removes):
                raise InvariantError(f"{name}: replaces files that were replaced before: two maintainers at once")
            removed.update(rewrite.removes)
            files.update((file.path, file) for file in rewrite.adds)
            last_rewrite = rewrite.number
            n_commits += 1
        live = {path: file for path, file in files.items() if path not in removed}
        return State(live, cursors, last_rewrite, base.number, n_commits)

    def _put(self, name: str, commit: ExportCommit | RewriteCommit | Base) -> None:
        self._blobs.put(name, seal(msgspec.json.encode(commit)))

    def _get(self, name: str, kind: type[Commit]) -> Commit:
        known = self._read.get(name)
        if isinstance(known, kind):
            return known
        try:
            commit = msgspec.json.decode(unseal(self._blobs.get(name)), type=kind)
        except (SealError, msgspec.DecodeError) as error:
            raise InvariantError(f"{self._blobs.path_of(name)}: damaged: {error}") from error
        if commit.format != FORMAT_VERSION:
            raise InvariantError(f"{self._blobs.path_of(name)}: format {commit.format} is not supported")
        self._read[name] = commit
        return commit


def _shard_and_last(name: str) -> tuple[int, int]:
    *_, shard, file = name.split("/")
    return int(shard), int(file.removesuffix(".json").split("-")[1])


def _number(name: str) -> int:
    return int(name.rpartition("/")[2].removesuffix(".json"))
