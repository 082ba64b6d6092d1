package nats

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// maxPending bounds the publishes under way on one connection. It is far more than
// callers of Publish are to be expected.
const maxPending = 1 << 16

const (
	// reconnectWait is the pause between two attempts to reach a server.
	reconnectWait = 250 * time.Millisecond
	// pingInterval is how often a server elsewhere is asked for a sign of life. It is
	// given up when it owes more than maxPings: after 7.5 s of silence at the latest.
	// The defaults of nats.go are 2 minutes and 2.
	pingInterval = 2500 * time.Millisecond
	maxPings     = 2
	// writeTimeout bounds a write, which would otherwise hold up all callers for a
	// minute when the server does not read.
	writeTimeout = 5 * time.Second
)

// ConnConfig says which server to connect to and how.
type ConnConfig struct {
	// Server is the embedded server. Exactly one of Server, Dir and URLs is given;
	// with Server, of the fields below only Logger counts.
	Server *Server
	// Dir is the folder of a server embedded in another process, on this machine.
	// With it, only Token and Logger count.
	Dir string
	// URLs are the servers elsewhere, of one cluster if they are several:
	// nats://host:port or tls://host:port, with user:password@ or token@ if
	// need be. What one of them tells about its cluster is used, too.
	URLs []string
	// TLS makes encryption a must, also for nats://. Default: the scheme and the
	// server decide, and the system's authorities count.
	TLS TLSFiles
	// Credentials is a file with a user's JWT and seed, NKey a file with a
	// user's seed, Token the server's token. At most one of the three.
	Credentials, NKey, Token string
	// Control is called with each socket before it is connected, see
	// [net.Dialer.Control]. Default: none.
	Control func(network, address string, c syscall.RawConn) error
	// Logger gets what happens outside of any call, such as a lost
	// connection. Default: slog.Default.
	Logger *slog.Logger
}

// TLSFiles are the PEM files of one end of a connection. They are read for each
// connection, so that renewed ones count.
type TLSFiles struct {
	// CA has the authorities that the other end's certificate must be from.
	CA string
	// Cert and Key are this end's certificate, or both "".
	Cert, Key string
}

// Connect returns a connection to the servers of cfg. Where none of them can be
// reached, it logs that and returns a connection that keeps trying. It fails if
// a server that was reached refuses the connection, or cfg is wrong: then trying
// again would not help.
func Connect(cfg ConnConfig) (*Conn, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	ways := 0
	for _, given := range []bool{cfg.Server != nil, cfg.Dir != "", len(cfg.URLs) > 0} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return nil, errors.New("nats: connect: want one of an embedded server, its folder and URLs")
	}
	c := newConn(&cfg)
	options, err := c.options(&cfg)
	if err != nil {
		return nil, fmt.Errorf("nats: connect to %s: %w", c.place, err)
	}
	c.connected()
	urls := strings.Join(cfg.URLs, ",")
	nc, err := natsgo.Connect(urls, options...)
	if err != nil && c.external && isUnreachable(err) {
		c.log.Warn("nats: can't be reached, trying on", "servers", c.place, "error", err)
		c.disconnected(err)
		nc, err = natsgo.Connect(urls, append(options, natsgo.RetryOnFailedConnect(true), natsgo.ConnectHandler(c.reconnected))...)
	}
	if err != nil {
		return nil, fmt.Errorf("nats: connect to %s: %w%s", c.place, err, connectRemedy(err))
	}
	c.nc = nc
	// nats.go remembers a publish until it is confirmed, or for that long.
	c.js, err = jetstream.New(nc, jetstream.WithPublishAsyncTimeout(confirmTimeout), jetstream.WithPublishAsyncMaxPending(maxPending))
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("nats: connect to %s: %w", c.place, err)
	}
	return c, nil
}

func (c *Conn) options(cfg *ConnConfig) ([]natsgo.Option, error) {
	options := []natsgo.Option{
		natsgo.Name("overtake"),
		natsgo.MaxReconnects(-1),
		natsgo.ReconnectWait(reconnectWait),
		// Credentials may be repaired or renewed at the server's end.
		natsgo.IgnoreAuthErrorAbort(),
		// Without a connection, fail at once: what is buffered would be sent
		// after its publisher has given up.
		natsgo.ReconnectBufSize(-1),
		natsgo.DisconnectErrHandler(func(_ *natsgo.Conn, err error) {
			c.disconnected(err)
			if err != nil {
				c.log.Warn("nats: connection lost, reconnecting", "error", err)
			}
		}),
		natsgo.ReconnectHandler(c.reconnected),
		natsgo.ErrorHandler(func(_ *natsgo.Conn, _ *natsgo.Subscription, err error) { c.report(err) }),
		natsgo.ClosedHandler(func(*natsgo.Conn) { close(c.closed) }),
	}
	if s := cfg.Server; s != nil {
		return append(options, natsgo.InProcessServer(s), natsgo.Token(s.cfg.Token)), nil
	}
	if cfg.Dir != "" {
		return append(options, natsgo.InProcessServer(socketDialer{cfg.Dir}), natsgo.Token(cfg.Token)), nil
	}
	options = append(options, natsgo.PingInterval(pingInterval), natsgo.MaxPingsOutstanding(maxPings), natsgo.FlusherTimeout(writeTimeout))
	if cfg.Control != nil {
		options = append(options, natsgo.SetCustomDialer(&net.Dialer{Timeout: natsgo.DefaultTimeout, Control: cfg.Control}))
	}
	secured, err := cfg.securing()
	return append(options, secured...), err
}

// securing returns the options for encryption and authentication.
func (cfg *ConnConfig) securing() ([]natsgo.Option, error) {
	var options []natsgo.Option
	if cfg.TLS.CA != "" {
		options = append(options, natsgo.RootCAs(cfg.TLS.CA))
	}
	if cfg.TLS.Cert != "" || cfg.TLS.Key != "" {
		options = append(options, natsgo.ClientCert(cfg.TLS.Cert, cfg.TLS.Key))
	}
	if cfg.Credentials != "" {
		if _, err := os.ReadFile(cfg.Credentials); err != nil {
			return nil, fmt.Errorf("credentials file: %w", err)
		}
		options = append(options, natsgo.UserCredentials(cfg.Credentials))
	}
	if cfg.NKey != "" {
		nkey, err := natsgo.NkeyOptionFromSeed(cfg.NKey)
		if err != nil {
			return nil, fmt.Errorf("nkey file %q: %w; it must hold the seed of a user (SU…)", cfg.NKey, err)
		}
		options = append(options, nkey)
	}
	if cfg.Token != "" {
		options = append(options, natsgo.Token(cfg.Token))
	}
	return options, nil
}

// placeOf names the servers of cfg without their passwords.
func placeOf(cfg *ConnConfig) string {
	if cfg.Server != nil {
		return "the embedded server"
	}
	if cfg.Dir != "" {
		return "the server on " + cfg.Dir
	}
	places := make([]string, len(cfg.URLs))
	for i, raw := range cfg.URLs {
		places[i] = raw
		if u, err := url.Parse(raw); err == nil && u.Host != "" {
			places[i] = u.Host
		}
	}
	return strings.Join(places, ", ")
}

// afterTLS is what nats.go says when the server has closed the connection right
// after the handshake, in which TLS 1.3 does not refuse certificates yet.
const afterTLS = "closed by remote after TLS handshake"

// isUnreachable reports whether err means that there was nobody to refuse the
// connection. A TLS alert of the other end is an [net.OpError], too.
func isUnreachable(err error) bool {
	if strings.Contains(err.Error(), afterTLS) {
		return false
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op != "remote error"
	}
	return errors.Is(err, natsgo.ErrNoServers) || errors.Is(err, natsgo.ErrTimeout) ||
		errors.Is(err, io.EOF) || errors.Is(err, natsgo.ErrStaleConnection) || errors.Is(err, natsgo.ErrConnectionClosed)
}

// isAuthError reports whether the server did not accept who we are.
func isAuthError(err error) bool {
	return slices.ContainsFunc([]error{
		natsgo.ErrAuthorization, natsgo.ErrAuthExpired, natsgo.ErrAuthRevoked, natsgo.ErrAccountAuthExpired, natsgo.ErrNkeysNotSupported,
	}, func(auth error) bool { return errors.Is(err, auth) })
}

// connectRemedy returns what can be done about a refused connection, if anything.
func connectRemedy(err error) string {
	text := err.Error()
	switch {
	case isAuthError(err):
		return "; give the credentials, nkey, token or user and password that the server knows"
	case errors.Is(err, natsgo.ErrSecureConnWanted):
		return "; the server has no TLS: give it a certificate, or write nats:// and no tls"
	case strings.Contains(text, "x509:"):
		return "; name the authority that the server's certificate is from as tls.ca, and the server as its certificate does"
	case strings.Contains(text, "tls:"), strings.Contains(text, afterTLS):
		return "; the server may want a client certificate: tls.cert and tls.key"
	}
	return ""
}
