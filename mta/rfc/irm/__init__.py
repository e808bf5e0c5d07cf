"""Mail and files under the rights management of others (MS-OXORMMS, MS-OFFCRYPTO, PFILE): seen, never opened."""
