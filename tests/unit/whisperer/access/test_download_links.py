"""A token of a download link opens exactly what it was made for, as long as it was made for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer.access.download_links import MAX_CHARACTERS, DownloadLinks
from whisperer.errors import ForbiddenError, NotFoundError
from whisperer.ids import TenantId, new_id

LINKS = DownloadLinks(b"\x01" * 32)
ACME, ID, END = TenantId("tn_1"), "exp_0000000000000000000001", 2_000_000_000


def test_a_token_opens_its_export_until_it_ends() -> None:
    token = LINKS.signed(ACME, ID, END)
    assert LINKS.opened(token, ID, END - 1) == ACME
    with pytest.raises(ForbiddenError) as refused:
        LINKS.opened(token, ID, END)
    assert refused.value.code == "link_expired"


def test_the_longest_token_is_short_enough_to_be_read() -> None:
    tenant = TenantId(new_id("tn"))
    token = LINKS.signed(tenant, new_id("exp"), 999_999_999_999)
    assert len(token) < MAX_CHARACTERS


@given(st.data())
def test_a_token_that_was_altered_opens_nothing(data: st.DataObject) -> None:
    token = LINKS.signed(ACME, ID, END)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("abcXYZ019-_.") | st.characters())
    altered = data.draw(st.sampled_from([token[:at] + other + token[at + 1 :], token[:at], token + other, other]))
    if altered != token:
        with pytest.raises(NotFoundError):
            LINKS.opened(altered, ID, 0)


@pytest.mark.parametrize(
    ("links", "tenant", "id", "end"),
    [
        (DownloadLinks(b"\x02" * 32), ACME, ID, END),
        (LINKS, TenantId("tn_2"), ID, END),
        (LINKS, ACME, ID.replace("1", "2"), END),
        (LINKS, ACME, ID, END + 1),
    ],
)
def test_a_token_of_anything_else_opens_nothing(links: DownloadLinks, tenant: TenantId, id: str, end: int) -> None:
    mac = links.signed(tenant, id, end).rpartition(".")[2]
    with pytest.raises(NotFoundError) as refused:
        LINKS.opened(f"dl_{ACME}.{END}.{mac}", ID, 0)
    assert refused.value.code == "export_not_found"
