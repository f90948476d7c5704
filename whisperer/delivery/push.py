"""Read the push message of a dispatch, with the names under which its callbacks will ask for it."""

from __future__ import annotations

from whisperer.delivery.dispatch import Dispatch
from whisperer.delivery.errors import UnsendableError
from whisperer.delivery.text import plain
from whisperer.vocabulary.inapp import Unfit
from whisperer.vocabulary.push import Push, read_push


def read(dispatch: Dispatch) -> tuple[Push, dict[str, str]]:
    """Return the message and what is added to it. Raises UnsendableError for one that no platform would take."""
    push = read_push({name: plain(text) for name, text in dispatch.parts.items()})
    if isinstance(push, Unfit):
        raise UnsendableError(f"the push message does not fit: {push}")
    return push, {"send_key": dispatch.send_key, "reference": dispatch.reference}
