"""Parameters grow where torch is not installed."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["layout", "philox", "bases", "blocks"])
def test_imports_no_torch(module):
    code = f"import sys; sys.modules['torch'] = None; import inrcodec.pranc.{module}"
    subprocess.run([sys.executable, "-c", code], check=True)
