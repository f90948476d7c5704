"""A group of commands whose modules are imported only when one of theirs is invoked.

The group knows each command's name, its module and the first paragraph of its help, which is all that the list of
commands and the completion of their names need.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

from typer.core import TyperCommand, TyperGroup
from typer.main import get_group


class Entry(NamedTuple):
    """Where a command is, and what the list of commands says of it.

    The module has an ``app`` of Typer's: one with a name is the group of that name, one without holds single commands.
    """

    module: str
    summary: str


class LazyGroup(TyperGroup):
    """Present :attr:`entries` as commands; a subclass sets them."""

    entries: ClassVar[Mapping[str, Entry]] = {}

    def __init__(self, **settings: Any) -> None:
        listed = {name: TyperCommand(name, help=entry.summary) for name, entry in self.entries.items()}
        super().__init__(**settings | {"commands": listed})

    def load(self, name: str) -> Any:
        """Import a command's module and return the command, or the group of that name."""
        found = get_group(import_module(self.entries[name].module).app)
        return found if found.name else found.commands[name]

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Do as Typer's group does, with the command itself in place of what stands for it in the list."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else self.load(name), rest
