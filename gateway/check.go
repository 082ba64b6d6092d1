package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/gateway/config"
)

// check asks the server for the path of its active check, on a connection of its
// own, and returns why that is no success.
func (s *server) check(ctx context.Context, c *config.Health) error {
	life := new(lifetime)
	defer context.AfterFunc(ctx, func() { life.end(context.Cause(ctx)) })()
	by := time.Now().Add(c.Timeout)
	conn, err := s.dial(life, mostUrgent, by)
	if err != nil {
		return err
	}
	var header fasthttp.ResponseHeader
	header.SetNoDefaultContentType(true)
	a := &answer{conn: conn, server: s, life: life, header: &header, timeout: c.Timeout}
	if cause := life.guard(conn.raw); cause != nil {
		a.drop()
		return cause
	}
	o := &outbound{timeout: c.Timeout, answerBy: by, head: []byte(
		"GET " + c.Path + " HTTP/1.1\r\nHost: " + s.host + "\r\nUser-Agent: overtake-check\r\nConnection: close\r\n\r\n")}
	if err := a.start(o); err != nil {
		return err
	}
	status := header.StatusCode()
	a.drop()
	if status < 200 || status > 399 {
		return fmt.Errorf("gateway: the check of %s%s was answered with %d, want 200 to 399", s.name, c.Path, status)
	}
	return nil
}
