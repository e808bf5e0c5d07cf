"""DomainKeys Identified Mail: RFC 6376, with the algorithms of RFC 8301 and RFC 8463."""
