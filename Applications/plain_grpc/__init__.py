"""Programs that use the datacenter with nothing but gRPC, as any language can: see docs/other_languages.md."""
