"""Where certificates of recipients are found: one file a source, all behind ports.CertificateSource."""
