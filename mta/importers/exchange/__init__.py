"""Exchange: connectors and rules as PowerShell writes them."""
