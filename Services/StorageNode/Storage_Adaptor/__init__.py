"""The storage Adaptor: the operations of storage.proto as calls of the Device."""
