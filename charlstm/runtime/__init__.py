"""The machine, and JAX on it. In reading order:

processor    cores, quota of a container, name; needs no JAX
memory       how much of it there is, and one sentence where it is not enough
compiled     compiled programs, kept between runs
setup        JAX's settings, in one place
lazy         the same around a function, loaded by its first call
mesh         devices, and where arrays live on them
hosts        the processes that train one run together, and what they tell each other
exchange     bytes that they give each other
watch        whether they are all alive
joining      how they find each other
"""
