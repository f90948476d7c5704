"""Name what several stages share: channels, groups, reasons, units. It imports nothing of the product."""
