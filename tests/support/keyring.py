"""A key for the secrets of a control plane that a test opens by itself."""

from __future__ import annotations

from cluster.control_plane.keyring import KEY_BYTES, Keyring

KEYRING = Keyring([bytes(KEY_BYTES)])
