"""Follow one decision's life: considered, chosen, prepared, sent, with its outcomes and its reward."""
