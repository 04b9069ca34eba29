"""EndpointSlices, read from the API server: what they mean, and watching them."""
