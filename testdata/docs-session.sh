# What a document's session begins with: bash reads this as the first process of
# namespaces of its own, in $DOCS. After it come the document's blocks, each in a
# file. What a comment "setup:" may call is here, too.
set -eu -o pipefail

# A host with the loopback device alone, whose system directories take files that
# nobody sees afterwards.
ip link set lo up
mount -t tmpfs tmpfs "$DOCS/overlay"
for directory in etc usr/local var/lib var/log; do
	mkdir -p "$DOCS/overlay/$directory/upper" "$DOCS/overlay/$directory/work"
	mount -t overlay overlay -o "lowerdir=/$directory,upperdir=$DOCS/overlay/$directory/upper,workdir=$DOCS/overlay/$directory/work" "/$directory"
done
mkdir -p /run/netns
mount -t tmpfs tmpfs /run/netns
# Every clone is seen at the same place, or Go would build each anew.
mount -t tmpfs tmpfs /mnt
mkdir /mnt/overtake
mkdir -m 1777 /mnt/tmp # servers run as users of their own
export TMPDIR=/mnt/tmp
mount --bind "$DOCS/clone" /mnt/overtake
cd /mnt/overtake

# background runs a server that is none of the shell's jobs: %1 is the document's.
background() {
	local log=$1
	shift
	("$@" </dev/null >"$DOCS/$log.log" 2>&1 9>&- &)
}

# wait_port waits until something listens on a port of 127.0.0.1.
wait_port() {
	local tries
	for tries in {1..600}; do
		if (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return 0; fi
		sleep 0.1
	done
	echo "nothing listens on port $1 after a minute" >&2
	tail -n 20 "$DOCS"/*.log >&2
	return 1
}

# start_app runs somebody's app on a port: 8 workers, 5 ms for whatever it is asked. A
# document that is about the sample app starts that itself.
start_app() {
	cat >"$DOCS/app.yaml" <<-'end'
		services: {app: {workers: 8, endpoints: [{path: "/**", time: 5ms, response: 2KiB}]}}
	end
	background "app-$1" overtake app -f "$DOCS/app.yaml" --listen-base "$1"
	wait_port "$1"
}

# put_messages has 20 messages published to each of the queues that are named behind
# a broker's type and URL.
put_messages() {
	local queue type=$1 url=$2
	shift 2
	for queue in "$@"; do
		cat >"$DOCS/publisher.yaml" <<-end
			services: {publisher: {endpoints: [{path: /, publish: [{queue: $queue, broker: b, body: 300B}]}]}}
			brokers: {b: {$type: "$url"}}
		end
		background "publisher-$queue" overtake app -f "$DOCS/publisher.yaml" --listen-base 5671
		wait_port 5671
		curl -sf -o "$DOCS/publisher.out" "http://127.0.0.1:5671/?n=[1-20]"
		pkill -f "app -f $DOCS/publisher.yaml"
	done
}

# start_nats runs a NATS server with JetStream on its usual port, 4222. Each argument
# is the name of a stream that has 20 messages.
start_nats() {
	background nats nats-server -a 127.0.0.1 -p 4222 -js -sd "$TMPDIR/nats"
	wait_port 4222
	put_messages nats nats://127.0.0.1:4222 "$@"
}

# start_rabbitmq runs a RabbitMQ with its usual user on its usual ports, 5672 and, for
# rabbitmqadmin, 15672. Each argument is the name of a queue that has 20 messages.
start_rabbitmq() {
	background rabbitmq env CHILD_OF_TEST=rabbitmq "$DOCS_TEST" -test.run '^TestDocs$'
	until grep -qs 'takes connections' "$DOCS/rabbitmq.log"; do
		if ! pgrep -f "^$DOCS_TEST" >/dev/null; then
			cat "$DOCS/rabbitmq.log" >&2
			return 1
		fi
		sleep 0.1
	done
	put_messages amqp amqp://guest:guest@127.0.0.1:5672 "$@"
}

# start_jaeger runs a Jaeger that takes OTLP on its usual ports, its pages on 16686.
start_jaeger() {
	background jaeger env SPAN_STORAGE_TYPE=memory OTEL_TRACES_SAMPLER=always_off "$DOCS_JAEGER" --log-level=warn --collector.otlp.enabled=true
	wait_port 16686
	wait_port 4318
}

# A load generator that shares its processors with other tests may be late, say
# GENERATOR-BOUND and exit with 1. That is right, and no mistake of the document: it
# tries once more. If it is late again, the session goes on, and the test judges.
loadgen() {
	local code try
	for try in 1 2; do
		code=0
		"$@" >"$DOCS/loadgen.out" 2>"$DOCS/loadgen.log" || code=$?
		if ((code != 1)) || ! tail -n 2 "$DOCS/loadgen.log" | grep -q 'not a result: GENERATOR-BOUND'; then break; fi
		if ((try == 2)); then
			echo "$*" >>"$DOCS/late"
			code=0
		fi
	done
	cat "$DOCS/loadgen.out"
	cat "$DOCS/loadgen.log" >&2
	return "$code"
}

# program runs a command. A process of its own, as in the background, becomes the
# command, so that $! and %1 are what the document says.
program() {
	if [ "$BASHPID" != "$$" ]; then exec "$@"; fi
	case " $* " in
		*" loadgen "*) loadgen "$@" ;;
		*) "$@" ;;
	esac
}

overtake() { program "$(type -P overtake)" "$@"; }
./overtake() { program "$PWD/overtake" "$@"; }

# The session is root's.
sudo() { "$@"; }

# helm as a tool of Go has no version of Kubernetes that it renders for by itself.
helm() {
	if [ "${1-}" = template ]; then set -- "$@" --kube-version 1.34.0; fi
	command helm "$@"
}
