package config

import (
	"crypto/x509"
	"fmt"
	"time"
)

// expiresSoon is how long before its end a certificate is warned of: time enough to
// get another by hand, and late enough that whoever renews by itself has failed to.
// The alert OvertakeCertificateExpires has the same.
const expiresSoon = 14 * 24 * time.Hour

// Expiry says when a certificate has expired, or will within 14 days, and what to do.
// It is empty for one that lasts longer.
func Expiry(leaf *x509.Certificate, now time.Time) string {
	end := leaf.NotAfter.UTC().Format("2006-01-02 15:04 MST")
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		return fmt.Sprintf("expired on %s: clients refuse it; put a renewed one in its place", end)
	case left < expiresSoon:
		return fmt.Sprintf("expires on %s: clients will refuse it; put a renewed one in its place", end)
	}
	return ""
}
