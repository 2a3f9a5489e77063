import pytest


@pytest.fixture
def one_thread():
    """Torch with one thread: on products this small a second one mostly waits for its turn."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
