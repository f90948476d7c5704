"""The four churn data sets of table T1 as columns and labels. Nothing is resampled, and no label reaches a feature."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from training.churn.cutoffs import Histories, Rows, rolling_rows
from whisperer.vocabulary.units import DAY_MS

Table = dict[str, NDArray[Any]]

EXPECTATIONS = ("p_alive", "p_purchase", "expected_purchases")

_SERVICES = ("OnlineSecurity", "OnlineBackup", "DeviceProtection", "TechSupport", "StreamingTV", "StreamingMovies")
_MANY_CALLS = 3
"""Customer service calls after which callers are treated as others in the MLC data (its documentation says so)."""


@dataclass(frozen=True)
class Labelled:
    """``plain``: the file's columns; ``derived``: these and what can be computed from them."""

    plain: Table
    derived: Table
    label: NDArray[np.bool_]


def telco(data: Path) -> Labelled:
    table = _csv(data / "telco_ibm" / "Telco-Customer-Churn.csv.gz", drop=("customerID",))
    label = table.pop("Churn") == "Yes"
    total = np.array([float(text) if text.strip() else 0.0 for text in table["TotalCharges"].astype(str)])
    table["TotalCharges"] = total
    tenure = table["tenure"].astype(np.float64)
    more: Table = {
        "charge_a_month": total / np.maximum(tenure, 1),
        "log_tenure": np.log1p(tenure),
        "n_services": np.sum([table[name] == "Yes" for name in _SERVICES], axis=0),
        "contract_and_net": np.char.add(table["Contract"].astype(str), table["InternetService"].astype(str)),
    }
    return Labelled(table, table | more, np.asarray(label, np.bool_))


def mlc(data: Path) -> Labelled:
    table = _csv(data / "mlc_churn" / "mlc_churn_5000.csv.gz")
    label = table.pop("churn") == "yes"
    total = total_charge(table)
    abroad, mail = table["international_plan"] == "yes", table["voice_mail_plan"] == "yes"
    many = table["number_customer_service_calls"] > _MANY_CALLS
    more: Table = {
        "total_charge": total,
        "charge_without_mail": np.where(mail, np.nan, total),
        "charge_of_callers": np.where(many, total, np.nan),
        "charge_of_others": np.where(many, np.nan, total),
        "minutes_abroad_on_plan": np.where(abroad, table["total_intl_minutes"], np.nan),
        "calls_abroad_on_plan": np.where(abroad, table["total_intl_calls"], np.nan),
    }
    return Labelled(table, table | more, np.asarray(label, np.bool_))


def total_charge(table: Table) -> NDArray[np.float64]:
    return np.sum([column for name, column in table.items() if name.endswith("_charge")], axis=0, dtype=np.float64)


def cdnow(data: Path) -> tuple[Histories, Rows]:
    """All 23,570 customers, 39 weeks behind the cutoff and 39 ahead of it; one row a customer."""
    text = np.loadtxt(data / "cdnow" / "CDNOW_master.txt.gz", dtype=str, skiprows=1)
    histories = Histories.of(text[:, 0].astype(np.int64), days_ms(text[:, 1]), text[:, 3].astype(np.float64))
    begin, window = days_ms(np.array(["19970101"]))[0], 39 * 7 * DAY_MS
    cutoff = begin + window
    return histories, rolling_rows(histories, [cutoff], window, window, cutoff + window)


def online_retail(data: Path) -> tuple[Histories, Rows]:
    """Invoices; cutoffs every 30 days from three months after the first, a return is a purchase within 90 days."""
    folder = data / "online_retail"
    names = ["InvoiceNo", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID"]
    parts = []
    later = pq.read_table(folder / "online_retail_2010_2011.parquet", columns=names).to_pydict()
    overlap = min(later["InvoiceDate"])  # both files have the first days of December 2010
    for kept in (pq.read_table(folder / "online_retail_2009_2010.parquet", columns=names).to_pydict(), later):
        at = np.array(kept["InvoiceDate"], "datetime64[ms]").astype(np.int64)
        of = np.array([customer is not None for customer in kept["CustomerID"]])
        if kept is not later:
            of &= at < np.datetime64(overlap, "ms").astype("datetime64[D]").astype("datetime64[ms]").astype(np.int64)
        customer = np.array([customer or 0 for customer in kept["CustomerID"]], np.int64)
        value = np.array(kept["Quantity"], np.float64) * np.array(kept["UnitPrice"])
        parts.append((customer[of], np.array(kept["InvoiceNo"])[of], at[of], value[of]))
    customer, invoice, at, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    _, first, which = np.unique(invoice, return_index=True, return_inverse=True)
    histories = Histories.of(customer[first], at[first], np.bincount(which, value))
    begin, end = int(histories.at_ms.min()) // DAY_MS * DAY_MS, int(histories.at_ms.max()) + 1
    cutoffs = np.arange(begin + 90 * DAY_MS, end, 30 * DAY_MS)
    return histories, rolling_rows(histories, cutoffs, 90 * DAY_MS, 365 * DAY_MS, end)


def days_ms(text: NDArray[np.str_]) -> NDArray[np.int64]:
    """Of yyyymmdd."""
    iso = [f"{day[:4]}-{day[4:6]}-{day[6:]}" for day in text]
    return np.array(iso, "datetime64[D]").astype("datetime64[ms]").astype(np.int64)


def _csv(path: Path, drop: tuple[str, ...] = ()) -> Table:
    table = pc.read_csv(path)
    return {name: np.asarray(table[name]) for name in table.column_names if name not in drop}
