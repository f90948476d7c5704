"""Load on a running gateway from Ray itself, as load tests of a real deployment would make it.

    python -m tests.load.from_tasks --url http://127.0.0.1:8000 --key wk_... --tasks 8
    python -m tests.load.from_client --ray-address ray://127.0.0.1:10001 --url ... --key ... --tasks 8

The first sends from tasks of a Ray cluster (the one that RAY_ADDRESS or --ray-address names, else a small one of its
own), the second through a Ray Client connection. What a task runs needs Python's standard library only and is shipped by
value: the cluster needs neither this checkout nor the product.
"""
