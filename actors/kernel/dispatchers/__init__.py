"""Where handlers run: on one event loop, on a bounded set of threads, or inline for tests."""
