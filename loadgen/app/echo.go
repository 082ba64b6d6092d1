package app

import (
	"encoding/json"

	"github.com/valyala/fasthttp"
)

// Echo is what GET /echo of the sample app answers: the request as it arrived
// behind everything that stands in front of the app.
type Echo struct {
	Method string `json:"method"`
	Target string `json:"target"` // as on the request line, undecoded
	// Headers has names spelled as they came. Fields that came more than once
	// are joined by ", " in order (RFC 9110, section 5.3).
	Headers   map[string]string `json:"headers"`
	BodyBytes int64             `json:"body_bytes"`
}

func handleEcho(ctx *fasthttp.RequestCtx) {
	size, err := drainRequest(ctx)
	if err != nil {
		ctx.Error("request body: "+err.Error()+"\n", fasthttp.StatusBadRequest)
		ctx.SetConnectionClose()
		return
	}
	echo := Echo{
		Method:    string(ctx.Method()),
		Target:    string(ctx.Request.Header.RequestURI()),
		Headers:   make(map[string]string),
		BodyBytes: size,
	}
	for key, value := range ctx.Request.Header.All() {
		name := string(key)
		if earlier, ok := echo.Headers[name]; ok {
			echo.Headers[name] = earlier + ", " + string(value)
			continue
		}
		echo.Headers[name] = string(value)
	}
	writeJSONBody(ctx, echo)
}

func writeJSONBody(ctx *fasthttp.RequestCtx, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		ctx.Error(err.Error()+"\n", fasthttp.StatusInternalServerError)
		return
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(append(body, '\n'))
}
