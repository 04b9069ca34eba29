"""DNS as a source: the queries about a Service, the servers, and the meaning of answers."""
