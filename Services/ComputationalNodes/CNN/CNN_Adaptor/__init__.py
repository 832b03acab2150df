"""The operations of cnn.proto as calls of the Device."""
