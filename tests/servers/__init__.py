"""Other name servers between the library and the cluster's: real ones, on loopback."""
