package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"
)

// What sd_notify(3) tells the service manager.
const (
	notifyReady     = "READY=1"
	notifyReloading = "RELOADING=1"
	notifyStopping  = "STOPPING=1"
)

// notifyManager tells the service manager, if it waits for that, in which state the
// process is: with Type=notify, systemd takes the service for started only when it
// listens. Elsewhere there is no NOTIFY_SOCKET, and nobody to tell. What the manager
// does not hear does not keep the process from its work.
func notifyManager(log *slog.Logger, state string) {
	address := os.Getenv("NOTIFY_SOCKET") // package net takes the @ of an abstract one
	if address == "" {
		return
	}
	if err := sendState(address, state); err != nil {
		log.Warn("the service manager is not told", "state", state, "error", err)
	}
}

// sendState sends one datagram. A manager that reads none has a second.
func sendState(address, state string) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	if err = conn.SetWriteDeadline(time.Now().Add(time.Second)); err == nil {
		_, err = conn.Write([]byte(state))
	}
	if closed := conn.Close(); err == nil {
		err = closed
	}
	return err
}
