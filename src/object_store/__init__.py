"""An instrumented object store for OpenWhisk actions."""
