"""RFC 3464 delivery status notifications and the xtext of RFC 3461."""
