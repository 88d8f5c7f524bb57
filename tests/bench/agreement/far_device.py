"""A device without float64, simulated over the CPU: its tensors say that they lie on "mps"."""

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_any, tree_map

FAR = torch.device("mps")


class Far(Tensor):
    """A tensor of the device; everything made of one stays there until it is on_judging_device to the CPU."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @property
    def device(self):
        return FAR


class FarDevice(TorchFunctionMode):
    """Torch with such a device, while it is entered; float64 there raises as on MPS."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        wanted = ["cpu"] if func is Tensor.cpu else [x for x in (*args, *kwargs.values()) if self._is_device(x)]
        here = tree_any(lambda x: isinstance(x, Far), (args, kwargs))
        far = torch.device(wanted[0]).type == "mps" if wanted else here
        args, kwargs = tree_map(self._near, (args, kwargs))
        return tree_map(self._far if far else self._plain, func(*args, **kwargs))

    @staticmethod
    def _is_device(x):
        return isinstance(x, torch.device) or (isinstance(x, str) and x in ("cpu", "mps"))

    def _near(self, x):
        return torch.device("cpu") if self._is_device(x) else x

    @staticmethod
    def _plain(x):
        return x.as_subclass(Tensor) if isinstance(x, Far) else x

    @staticmethod
    def _far(x):
        if not isinstance(x, Tensor) or isinstance(x, Far):
            return x
        if x.dtype is torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support it")
        return x.as_subclass(Far)
