"""The container's side of Quantainer. Standard library only; SDKs are imported only by their adapter."""

__version__ = "0.1.0"
