"""What is imported without a part of it works as before, once that part is wanted.

python -m pytest tests/files/test_imports.py
"""

import subprocess
import sys
from types import ModuleType

import pytest

from seg.files.imports import standing_in


def run(code: str) -> None:
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_a_module_stands_in_for_another_and_leaves_nothing() -> None:
    name, module = "colorsys", ModuleType("colorsys")
    sys.modules.pop(name, None)
    with standing_in(name, module):
        import colorsys

        assert colorsys is module
    assert name not in sys.modules
    with pytest.raises(ImportError, match="import of colorsys halted"), standing_in(name, None):
        import colorsys
    import colorsys

    with standing_in(name, module):  # the real one, if it is there, stays
        assert sys.modules[name] is colorsys
    assert sys.modules[name] is colorsys
    assert colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0)


def test_what_was_imported_meanwhile_stays() -> None:
    sys.modules.pop("colorsys", None)
    with standing_in("colorsys", None):
        del sys.modules["colorsys"]
        import colorsys
    assert sys.modules["colorsys"] is colorsys


@pytest.mark.slow
def test_models_load_without_the_compiler_which_works_once_it_is_wanted() -> None:
    """Nothing of the stand-in is left: the real functions answer, programs compile, timm's marks hold."""
    run(
        """
import sys
import torch
before = torch.compiler.disable
import seg.models
assert torch.compiler.disable is before
assert not {"torch._dynamo", "torch._dynamo.utils", "sympy"} & {*sys.modules}

from torchvision.ops.roi_align import is_compile_supported
assert "torch._dynamo" not in sys.modules
answer = is_compile_supported("cpu")
import torch._dynamo.utils as real
assert torch._dynamo.utils is real is sys.modules["torch._dynamo.utils"]
assert real.__file__
assert answer == real.is_compile_supported("cpu") and not real.is_compile_supported("meta")

graphs = []
def count(graph, inputs):
    graphs.append([str(node.target) for node in graph.graph.nodes])
    return graph.forward
class Parts:
    @torch._compile._disable_dynamo
    def middle(self, x):
        return x.cos()
parts = Parts()
step = torch.compile(lambda x: parts.middle(x.sin()).exp(), backend=count)
x = torch.ones(3)
assert torch.equal(step(x), x.sin().cos().exp())
assert len(graphs) == 2 and not [name for names in graphs for name in names if "cos" in name]
"""
    )


@pytest.mark.parametrize("first", ["torch._dynamo", "torch._dynamo.utils", "torchvision"])
@pytest.mark.slow
def test_in_whichever_order(first: str) -> None:
    run(
        f"import {first}, seg.models, torch; real = __import__('torch._dynamo.utils')._dynamo.utils; "
        "assert real.__file__; assert torch.equal(torch.compile(torch.sin, backend='eager')(torch.ones(2)), "
        "torch.ones(2).sin())"
    )


@pytest.mark.slow
def test_who_asks_for_more_gets_the_real_module() -> None:
    """As another version of torchvision, or of what it loads, might."""
    run(
        "from seg.files.imports import without_compiler\n"
        "with without_compiler():\n"
        "    from torch._dynamo.utils import is_compile_supported, counters\n"
        "import sys, torch._dynamo\n"
        "assert counters is torch._dynamo.utils.counters and sys.modules['torch._dynamo.utils'].__file__"
    )


@pytest.mark.slow
def test_a_checkpoint_whose_model_wants_the_compiler_loads_it_whole() -> None:
    """Some encoders of timm do while they are built, where nothing may be written; half of it would be of no use."""
    run(
        "import sys, torch, seg.models; from seg.models.checkpoint import sealed\n"
        "with sealed():\n"
        "    with torch.device('meta'):\n"
        "        torch.empty(3).erfinv_()\n"
        "    assert 'torch._dynamo' in sys.modules\n"
        "    try: open('written', 'w')\n"
        "    except PermissionError: pass\n"
        "    else: raise SystemExit('not sealed any more')\n"
        "assert torch.equal(torch.compile(torch.sin, backend='eager')(torch.ones(2)), torch.ones(2).sin())"
    )
