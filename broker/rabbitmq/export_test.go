package rabbitmq

// ServerURL returns where the server of the tests listens.
func ServerURL() string { return server.URL() }
