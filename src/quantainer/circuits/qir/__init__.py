"""QIR: quantum programs as LLVM IR, base and adaptive profile.

The text form (``.ll``) is read here, with line numbers and without LLVM; the binary form (``.bc``)
is turned into text by pyqir, where that is installed. The program is then followed from its entry
point: what is known is carried out, what depends on measured results becomes control flow of the
circuit.
"""

from quantainer.circuits.qir.reader import read

__all__ = ["read"]
