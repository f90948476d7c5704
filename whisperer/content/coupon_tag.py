"""Define the tag that writes the user's code from a coupon pool: ``{% coupon "spring" %}``.

The pool is written out, so that it is known which pools a template takes codes from. A code has no character that any
part of a message would have to escape (:mod:`cluster.control_plane.coupons`).
"""

from __future__ import annotations

from typing import TextIO

from liquid import RenderContext, TokenStream
from liquid.ast import Node
from liquid.tag import Tag
from liquid.token import TOKEN_STRING, TOKEN_TAG, Token

from whisperer.content.bounded import Context


class CouponNode(Node):
    """Writes the code."""

    __slots__ = ("pool",)

    def __init__(self, token: Token, pool: str) -> None:
        super().__init__(token)
        self.pool = pool
        self.blank = False

    def __str__(self) -> str:
        return f'{{% coupon "{self.pool}" %}}'

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        assert isinstance(context, Context), "every template is rendered in a context of ours"
        code = context.supplies.coupons.code(self.pool)
        context.spend(len(code))
        return buffer.write(code)


class CouponTag(Tag):
    """``{% coupon "POOL" %}``"""

    name = "coupon"
    block = False
    node_class = CouponNode

    def parse(self, stream: TokenStream) -> CouponNode:
        token = stream.eat(TOKEN_TAG)
        tokens = stream.into_inner(tag=token, eat=False)
        pool = tokens.eat(TOKEN_STRING).value
        tokens.expect_eos()
        return CouponNode(token, pool)
