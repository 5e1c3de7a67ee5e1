"""Kernels as whole programs: every kernel that Python calls has its own copy of what it calls.

Numba compiles each called function on its own, links that code into each caller, and lets the
loader choose one of the copies by name: the one that was loaded first. With fast mathematics the
copies round differently, so results would depend on what a process did before. Here the functions
that a kernel calls are only lowered to LLVM IR, linked into the kernel, and made internal to it
before it is optimized. The machine code of a kernel then depends on nothing else, functions that
only kernels call cost no optimization of their own, and LLVM may specialize them: on the kernels
of a pyramid RDOQ takes a third less time than with Numba's own linking, decoding latents a sixth.

The classes rely on internals of Numba (`CPUCodeLibrary.finalize` and the dispatchers of
`numba.core.dispatcher`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.registry import CPUDispatcher


class _Part(JITCodeLibrary):  # type: ignore[misc]
    """LLVM IR of a function for its callers: neither optimized nor compiled to machine code."""

    def finalize(self) -> None:
        self._raise_if_finalized()
        for library in dict.fromkeys(self._linking_libraries):
            # Not in Numba before 0.62.
            if hasattr(library, "_reload_init"):
                self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._final_module.verify()
        self._finalized = True


class _Whole(JITCodeLibrary):  # type: ignore[misc]
    """Machine code of a kernel that shares no function with other kernels."""

    def _optimize_final_module(self) -> None:
        for function in self._final_module.functions:
            # Numba's reference counting (NRT) is one for the whole process.
            linked = function.linkage.name == "linkonce_odr" and not function.is_declaration
            if linked and not function.name.startswith("NRT_"):
                function.linkage = "internal"
        super()._optimize_final_module()


class _PartCompiler(Compiler):  # type: ignore[misc]
    def define_pipelines(self) -> Any:
        state = self.state
        state.library = _Part(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        state.flags.no_cpython_wrapper = True
        state.flags.no_cfunc_wrapper = True
        return super().define_pipelines()


class _WholeCompiler(Compiler):  # type: ignore[misc]
    def define_pipelines(self) -> Any:
        state = self.state
        state.library = _Whole(state.targetctx.codegen(), state.func_id.func_qualname)
        # So that it can be serialized.
        state.library.enable_object_caching()
        return super().define_pipelines()


class _PartDispatcher(CPUDispatcher):  # type: ignore[misc]
    """A function as other kernels call it; Python can't call it."""

    def add_overload(self, compiled: Any) -> None:
        # There is no machine code, whose entry point is what callers look a function up by.
        key = object()
        compiled.target_context.insert_user_function(key, compiled.fndesc, [compiled.library])
        args = tuple(compiled.signature.args)
        self.overloads[args] = compiled._replace(entry_point=key)


class Kernel(CPUDispatcher):  # type: ignore[misc]
    """A compiled function that Python and other kernels can call.

    It is compiled once for each signature that Python calls it with, and lowered once for each
    that kernels call it with.
    """

    def __init__(self, function: Callable[..., Any], options: dict[str, Any], cache: Any) -> None:
        """`options` are those of `numba.njit`, `cache` has the methods of Numba's caches."""
        options = {"nopython": True, "boundscheck": None, **options}
        super().__init__(function, {}, options, pipeline_class=_WholeCompiler)
        self._cache = cache
        self._part = _PartDispatcher(function, {}, options, pipeline_class=_PartCompiler)

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """What a kernel that calls this one needs for its types."""
        return self._part.get_call_template(args, kws)

    def get_overload(self, signature: Any) -> Any:
        """The key by which a kernel that calls this one finds its code."""
        return self._part.get_overload(signature)
