"""The math Adaptor: the operations of math.proto as calls of the Device."""
