"""What every test may use."""

import pytest
from hypothesis import settings

settings.register_profile("aowhisk", deadline=None)  # machines are shared: no test is timed
settings.load_profile("aowhisk")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the long forms, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="a long form; `make full` (pytest --slow) runs it")
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Everything of ours runs on asyncio."""
    return "asyncio"
