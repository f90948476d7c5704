"""Which columns become features and labels, how rows are divided, and which rows are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.training.making_rows import ARMS, DAY_MS, FIRST, SHARES, churn_table, decision_table, written
from training.dataset import HELD, LEFT_OUT, TEST, TRAIN, Dataset, RowsError, below, divide, read, without_keys


def test_numbers_are_features_and_what_is_known_to_be_something_else_is_not(tmp_path: Path) -> None:
    data = read(written(churn_table(), tmp_path), "churn")
    assert data.names == ("silent", "visits", "noise")
    assert data.x.dtype == np.float32
    assert np.isnan(data.x[:, 0]).any()
    assert data.user.max() == 249


def test_churn_is_the_opposite_of_coming_back_and_a_label_of_ones_own_is_taken_as_it_is(tmp_path: Path) -> None:
    table = churn_table()
    came = table["came_back"].to_numpy()
    assert (read(written(table, tmp_path), "churn").label == 1 - came).all()
    named = read(written(table.append_column("gone", pa.array(came)), tmp_path), "churn", label="gone")
    assert (named.label == came).all()
    assert "gone" not in named.names


def test_rewards_are_counted_in_units_and_propensities_lie_under_their_arms(tmp_path: Path) -> None:
    turned = [["tips", "no_send"]] * 3_000
    table = decision_table(arms=turned, propensities=[[0.25, 0.75]] * 3_000, arm=["tips", "no_send"] * 1_500)
    data = read(written(table, tmp_path), "uplift")
    assert data.decisions is not None
    assert data.decisions.arms == ("no_send", "tips")
    assert (data.decisions.propensity == [0.75, 0.25]).all()
    assert data.decisions.action[:2].tolist() == [1, 0]
    assert data.label == pytest.approx(table["reward_micros"].to_numpy() / 1e6)


def test_the_holdout_says_nothing_of_arms(tmp_path: Path) -> None:
    groups = ["holdout", "policy", "uniform"] * 1_000
    data = read(written(decision_table(experiment_group=groups), tmp_path), "uplift")
    assert len(data) == 2_000
    assert data.decisions is not None
    assert (len(data.decisions.action), len(data.time)) == (2_000, 2_000)


def test_an_arrow_file_and_a_folder_of_parquet_give_the_same_rows(tmp_path: Path) -> None:
    table = churn_table()
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(2):
        written(table.slice(number * 500, 500), folder, f"{number}.parquet")
    pyarrow.feather.write_feather(table, str(tmp_path / "rows.arrow"), compression="uncompressed")
    digests = {read(str(place), "churn").digest for place in (folder, tmp_path / "rows.arrow", folder.as_uri())}
    assert len(digests) == 1


def test_one_changed_value_is_other_data(tmp_path: Path) -> None:
    table = churn_table()
    noise = table["noise"].to_numpy().copy()
    noise[17] += 1
    changed = table.set_column(table.column_names.index("noise"), "noise", pa.array(noise))
    digests = [read(written(one, tmp_path), "churn").digest for one in (table, changed)]
    assert digests[0] != digests[1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"features": ("silent", "mood")}, "no column mood; they have user_key"),
        ({"features": ("user_key",)}, "user_key: numbers are needed"),
        ({"label": "noise"}, "not true or false at row 0"),
        ({"drop": ("silent", "visits", "noise")}, "no column of numbers is left"),
    ],
)
def test_columns_that_do_not_fit_are_named(tmp_path: Path, change: dict[str, object], told: str) -> None:
    with pytest.raises(RowsError, match=told):
        read(written(churn_table(), tmp_path), "churn", **change)  # type: ignore[arg-type]


def test_values_that_do_not_fit_are_named_with_their_row(tmp_path: Path) -> None:
    infinite = np.zeros(1_000)
    infinite[41] = np.inf
    with pytest.raises(RowsError, match="rate is infinite at row 41"):
        read(written(churn_table(rate=infinite), tmp_path), "churn")
    foreign = ["tips"] * 3_000
    foreign[7] = "surprise"
    with pytest.raises(RowsError, match="arm chosen at row 7 was not among the eligible"):
        read(written(decision_table(arm=foreign), tmp_path), "uplift")
    ragged = [list(SHARES)] * 3_000
    ragged[5] = [1.0]
    with pytest.raises(RowsError, match="differ in length at row 5"):
        read(written(decision_table(propensities=ragged), tmp_path), "uplift")
    with pytest.raises(RowsError, match="no_send is not among the arms"):
        read(
            written(decision_table(arms=[list(ARMS[1:])] * 3_000, propensities=[[0.5, 0.5]] * 3_000), tmp_path),
            "uplift",
        )


def test_what_is_not_there_or_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"no parquet")
    for place, told in (("rows.parquet", "cannot be read"), ("other.parquet", "there is nothing at")):
        with pytest.raises(RowsError, match=told):
            read(str(tmp_path / place), "churn")
    with pytest.raises(RowsError, match="there are no rows"):
        read(written(churn_table().slice(0, 0), tmp_path), "churn")


def of_time(time: list[int], user: list[int]) -> Dataset:
    n = len(time)
    return Dataset(("x",), np.zeros((n, 1), np.float32), np.zeros(n), np.array(time), np.array(user), "")


def test_parts_follow_one_another_in_time_and_a_cutoff_is_never_divided(tmp_path: Path) -> None:
    data = read(written(churn_table(), tmp_path), "churn")
    part = divide(data)
    cutoffs = [set(data.time[part == one].tolist()) for one in (TRAIN, HELD, TEST)]
    assert max(cutoffs[0]) < min(cutoffs[1]) <= max(cutoffs[1]) < min(cutoffs[2])
    assert sum(map(len, cutoffs)) == 5


def test_rows_whose_window_reaches_into_the_next_part_are_left_out(tmp_path: Path) -> None:
    data = read(written(churn_table(n=2_000), tmp_path), "churn")
    window = 20 * DAY_MS
    part = divide(data, window_ms=15 * DAY_MS)
    assert (part != LEFT_OUT).all()  # a window that ends as the next part begins knows nothing of it
    with pytest.raises(RowsError, match="--window-days"):
        divide(
            data, window_ms=window
        )  # of five cutoffs, each part but the last loses one: the held-out one has no other
    days = of_time([FIRST + day * DAY_MS for day in range(100)], list(range(100)))
    part = divide(days, window_ms=window)
    assert days.time[part == TRAIN].max() + window <= days.time[part == HELD].min()
    assert (part == LEFT_OUT).sum() == 2 * 19


@given(st.lists(st.integers(0, 40), min_size=60, max_size=200), st.integers(0, 5))
def test_without_time_a_users_rows_stay_together(users: list[int], seed: int) -> None:
    known = np.unique(users, return_inverse=True)[1].tolist()
    try:
        part = divide(of_time([0] * len(known), known), seed=seed)
    except RowsError:
        return
    for user in set(known):
        assert len({int(one) for one, whose in zip(part, known, strict=True) if whose == user}) == 1


def test_a_part_of_a_folder_is_named_before_what_follows_the_path() -> None:
    assert below("s3://bucket/run/?region=eu&scheme=http", "model") == "s3://bucket/run/model?region=eu&scheme=http"
    assert below("file:///tmp/run", "rows") == "file:///tmp/run/rows"
    assert below("/tmp/run/", "rows") == "/tmp/run/rows"


def test_keys_in_a_uri_are_never_said() -> None:
    said = without_keys("s3://AKIA:sec%2Fret@bucket/run?region=eu and s3://bucket/run, mail ann@example.com")
    assert said == "s3://bucket/run?region=eu and s3://bucket/run, mail ann@example.com"
