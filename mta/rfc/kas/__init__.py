"""The key server's protocol: OpenTDF's KAS over Connect (JSON and protobuf) and in its older REST form."""
