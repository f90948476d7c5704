"""Knows what templates draw on, catalogues and coupon pools: for the content application's messages, and the gateway's
previews."""
