"""The contract: connectors.yaml as the rest of the house sees it, frozen and complete; look-ups of flat cost."""
