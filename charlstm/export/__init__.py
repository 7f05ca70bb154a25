"""A model for programs without JAX. In reading order:

graph    an ONNX graph as it grows: values, and the operators between them
step     one time step of the network as such a graph
saving   the file, and what a program must know beside the graph
"""
