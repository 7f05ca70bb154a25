"""The machine, and JAX on it. In reading order:

processor    cores, quota of a container, name; needs no JAX
setup        JAX's settings, in one place
mesh         devices, and where arrays live on them
"""
