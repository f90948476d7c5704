"""What every journal must do, whatever stores it.

A backend's test module subclasses :class:`JournalBattery` and gives the fixture ``home``: one journal's storage, which
outlives the objects that open it. Positions are treated as opaque growing numbers: what a record costs is a backend's own.
"""

from __future__ import annotations

import itertools
import threading
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whisperer.errors import FencedError, JournalDamagedError, JournalError
from whisperer.ports import Journal

GROUPS = st.lists(st.lists(st.binary(max_size=300), min_size=1, max_size=4), max_size=6)


class JournalHome(Protocol):
    """Storage of one journal."""

    def open(self) -> Journal:
        """A new incarnation. Raises FencedError while another one holds the journal, or fences that one."""
        ...

    def another(self) -> JournalHome:
        """Empty storage of the same kind."""
        ...


class JournalBattery:
    """Subclass, name it Test..., and provide ``home``."""

    def test_a_new_journal_is_empty(self, home: JournalHome) -> None:
        journal = home.open()
        assert list(journal.replay()) == []
        journal.close()

    def test_records_come_back_in_order_at_the_positions_append_returned(self, home: JournalHome) -> None:
        journal = home.open()
        positions = journal.append([b"a", b"", b"ccc"]) + journal.append([b"d" * 100_000])
        assert positions == sorted(set(positions))
        assert all(position < journal.end for position in positions)
        assert list(journal.replay()) == list(zip(positions, [b"a", b"", b"ccc", b"d" * 100_000], strict=True))
        journal.close()

    def test_appending_nothing_changes_nothing(self, home: JournalHome) -> None:
        journal = home.open()
        journal.append([b"a"])
        end = journal.end
        assert journal.append([]) == []
        assert journal.end == end
        journal.close()

    def test_replay_starts_at_the_position_asked_for(self, home: JournalHome) -> None:
        journal = home.open()
        positions = journal.append([b"a", b"b"]) + journal.append([b"c"])
        for n, position in enumerate(positions):
            assert [record for _, record in journal.replay(position)] == [b"a", b"b", b"c"][n:]
        assert list(journal.replay(journal.end)) == []
        journal.close()

    def test_replay_sees_what_was_durable_when_it_was_called(self, home: JournalHome) -> None:
        journal = home.open()
        journal.append([b"a"])
        replay = journal.replay()
        journal.append([b"b"])
        assert [record for _, record in replay] == [b"a"]
        journal.close()

    def test_every_record_can_be_read_by_its_position(self, home: JournalHome) -> None:
        journal = home.open()
        records = [b"a", b"", b"c" * 70_000]
        positions = journal.append(records)
        assert [journal.read(position) for position in positions] == records
        journal.close()

    def test_records_and_end_survive_reopening(self, home: JournalHome) -> None:
        journal = home.open()
        positions = journal.append([b"a", b"b"])
        end = journal.end
        journal.close()
        again = home.open()
        assert again.end == end
        assert list(again.replay()) == list(zip(positions, [b"a", b"b"], strict=True))
        (position,) = again.append([b"c"])
        assert position >= end
        again.close()

    def test_epochs_strictly_increase_also_when_nothing_was_appended(self, home: JournalHome) -> None:
        epochs = []
        for n in range(5):
            journal = home.open()
            epochs.append(journal.epoch)
            if n == 2:
                journal.append([b"x"])
            journal.close()
        assert epochs == sorted(set(epochs))

    def test_only_one_of_two_incarnations_can_append(self, home: JournalHome) -> None:
        first = home.open()
        first.append([b"first"])
        try:
            second = home.open()
        except FencedError:
            first.append([b"still the first"])
            first.close()
            return
        second.append([b"second"])
        with pytest.raises(FencedError):
            first.append([b"lost"])
        assert [record for _, record in second.replay()] == [b"first", b"second"]
        second.close()

    def test_a_closed_journal_refuses_appends_and_closes_again(self, home: JournalHome) -> None:
        journal = home.open()
        journal.close()
        with pytest.raises(JournalError):
            journal.append([b"late"])
        journal.close()

    def test_trimming_never_drops_a_record_from_the_position_on(self, home: JournalHome) -> None:
        journal = home.open()
        kept = []
        for n in range(6):
            kept += journal.append([b"%d" % n, b"%d again" % n])
            journal.roll()
        for position in kept:
            journal.trim(position)
            assert [p for p, _ in journal.replay(position)] == kept[kept.index(position) :]
        journal.close()

    def test_a_trimmed_record_reads_as_none_and_replaying_from_it_is_refused(self, home: JournalHome) -> None:
        journal = home.open()
        first, _ = journal.append([b"old", b"old too"])
        journal.roll()
        (second,) = journal.append([b"new"])
        journal.trim(second)
        assert journal.read(first) is None
        assert journal.read(second) == b"new"
        with pytest.raises(JournalError):
            list(journal.replay(0))
        journal.close()
        again = home.open()
        assert again.read(first) is None
        assert list(again.replay(second)) == [(second, b"new")]
        again.close()

    def test_replaying_from_beyond_the_end_is_refused_as_records_must_be_missing(self, home: JournalHome) -> None:
        journal = home.open()
        (position,) = journal.append([b"a"])
        beyond = journal.end + (journal.end - position)
        with pytest.raises(JournalDamagedError):
            list(journal.replay(beyond))
        journal.close()

    def test_segments_cover_everything_without_gaps_and_the_last_one_alone_is_open(self, home: JournalHome) -> None:
        journal = home.open()
        for n in range(4):
            journal.append([b"%d" % n])
            journal.roll()
            journal.roll()  # an empty segment is none
        journal.append([b"open"])
        segments = journal.segments()
        assert [s.closed for s in segments] == [True] * (len(segments) - 1) + [False]
        assert segments[0].start == journal.oldest
        assert [s.end for s in segments[:-1]] == [s.start for s in segments[1:]]
        assert segments[-1].end == journal.end
        assert all(s.start < s.end for s in segments)
        assert segments[-1].epoch == journal.epoch
        replayed = [list(journal.replay(s.start, s.end)) for s in segments]
        assert [len(records) for records in replayed] == [1] * 5
        assert list(itertools.chain(*replayed)) == list(journal.replay())
        journal.close()

    def test_a_closed_segment_never_changes_whatever_comes_after(self, home: JournalHome) -> None:
        journal = home.open()
        closed = []
        for n in range(6):
            journal.append([b"%d" % n, b"more"])
            if n % 2:
                journal.roll()
            if n == 3:
                journal.close()
                journal = home.open()
            found = [s for s in journal.segments() if s.closed]
            assert found[: len(closed)] == closed
            closed = found
        assert len(closed) >= 3
        journal.trim(closed[1].start)
        assert [s for s in journal.segments() if s.closed][-2:] == closed[-2:]
        journal.close()
        again = home.open()
        assert again.oldest == closed[1].start
        assert [s for s in again.segments() if s.closed] == closed[1:]
        again.close()

    def test_an_incarnation_that_died_closed_what_it_wrote(self, home: JournalHome) -> None:
        journal = home.open()
        journal.append([b"a"])
        assert not any(s.closed for s in journal.segments())
        end, epoch = journal.end, journal.epoch
        journal.close()
        again = home.open()
        first, *_ = again.segments()
        assert (first.start, first.end, first.epoch, first.closed) == (0, end, epoch, True)
        again.close()

    def test_replay_stops_where_it_is_told(self, home: JournalHome) -> None:
        journal = home.open()
        positions = journal.append([b"a", b"b", b"c"])
        for n, stop in enumerate(positions):
            assert [record for _, record in journal.replay(0, stop)] == [b"a", b"b", b"c"][:n]
        assert len(list(journal.replay(0, journal.end))) == 3
        journal.close()

    def test_nothing_is_in_the_way_of_a_journal_that_works(self, home: JournalHome) -> None:
        journal = home.open()
        journal.append([b"a"])
        assert journal.trouble is None
        journal.close()

    def test_positions_do_not_restart_after_everything_was_trimmed(self, home: JournalHome) -> None:
        journal = home.open()
        journal.append([b"old"])
        journal.roll()
        end = journal.end
        journal.trim(end)
        journal.close()
        again = home.open()
        assert again.end == end
        assert again.append([b"new"])[0] >= end
        again.close()

    def test_reading_in_other_threads_while_appending_sees_whole_records(self, home: JournalHome) -> None:
        journal = home.open()
        wrong: list[object] = []
        done = threading.Event()

        def follow() -> None:
            while not done.is_set():
                for position, record in journal.replay():
                    if record[:1] * len(record) != record or journal.read(position) != record:
                        wrong.append((position, record))

        reader = threading.Thread(target=follow)
        reader.start()
        for n in range(60):
            journal.append([bytes([n]) * 3000, bytes([n]) * 5])
            if n % 20 == 19:
                journal.roll()
        done.set()
        reader.join()
        assert wrong == []
        journal.close()

    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(incarnations=st.lists(GROUPS, min_size=1, max_size=4))
    def test_any_sequence_of_appends_and_reopenings_replays_exactly(
        self, home: JournalHome, incarnations: list[list[list[bytes]]]
    ) -> None:
        fresh = home.another()
        expected: list[tuple[int, bytes]] = []
        for groups in incarnations:
            journal = fresh.open()
            assert list(journal.replay()) == expected
            for group in groups:
                expected += zip(journal.append(group), group, strict=True)
                if len(group) == 3:
                    journal.roll()
            assert list(journal.replay()) == expected
            journal.close()
