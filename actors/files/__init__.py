"""Store bytes: blobs in folders and object stores, and directories made durable."""
