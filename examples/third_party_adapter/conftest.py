import pytest

pytest.register_assert_rewrite("acontext_adapters.testing")
