"""Asyncio-native orchestration for Apache OpenWhisk."""
