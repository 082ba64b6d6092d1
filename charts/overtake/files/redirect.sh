#!/bin/sh
# Leads the connections of an app through its sidecar, by iptables and ip6tables.
#
#   redirect.sh            set the redirect up; a second run replaces the first
#   redirect.sh remove     undo it, with the same environment
#
# What comes in for the app goes to the sidecar's inbound listener, what the app
# calls to its outbound listener. It is for the network namespace that it runs in,
# that of a pod or a host, and takes root with the capabilities NET_ADMIN and NET_RAW.
#
# Environment; lists are separated by commas or blanks:
#   OVERTAKE_UID            number of the user that the sidecar runs as, whose
#                           connections are left alone                 [65532]
#   OVERTAKE_INBOUND_PORT   the sidecar's inbound listener             [15006]
#   OVERTAKE_OUTBOUND_PORT  its outbound listener on loopback, of
#                           127.0.0.1 and ::1                          [15001]
#   OVERTAKE_ADMIN_PORT     its admin listener, never redirected       [9901]
#   OVERTAKE_APP_PORTS      ports at which the app is reached, or *    []
#   OVERTAKE_OUTBOUND_PORTS ports that the app calls, or *             [80,443]
#   OVERTAKE_OUTBOUND_IPV6  yes, or no to leave calls by IPv6 alone:
#                           nobody listens on ::1 then                 [yes]
#   OVERTAKE_EXCLUDE_PORTS  ports left alone, coming in and called     []
#   OVERTAKE_EXCLUDE_CIDRS  destinations of calls left alone           []
#
# Calls that stay on this host (loopback, the pod's own address) are left alone.
set -eu
set -f # a list may be *

fail() {
	printf 'redirect.sh: %s\n' "$1" >&2
	exit 1
}

# words prints a list with blanks between its entries.
words() {
	printf '%s' "$1" | tr ',\t\n' '   '
}

# number NAME VALUE MOST: whole and from 1, as iptables reads 010 as 8.
number() {
	case $2 in
	'' | 0* | *[!0-9]* | ???????????*) fail "$1: '$2' is not a number from 1 to $3" ;;
	esac
	[ "$2" -le "$3" ] || fail "$1: $2 is more than $3"
}

# ports NAME LIST: numbers, or * where it is alone and NAME may have it.
ports() {
	for port in $(words "$2"); do
		if [ "$port" = '*' ]; then
			[ "$1" != OVERTAKE_EXCLUDE_PORTS ] || fail "$1: * would leave nothing to redirect; name the ports"
			[ "$(words "$2" | tr -d ' ')" = '*' ] || fail "$1: * stands for all ports; name no others beside it"
		else
			number "$1" "$port" 65535
		fi
	done
}

# quad tells whether this is an address of IPv4.
quad() {
	left=$1.
	for _ in 1 2 3 4; do
		case ${left%%.*} in
		0 | [1-9] | [1-9][0-9] | 1[0-9][0-9] | 2[0-4][0-9] | 25[0-5]) left=${left#*.} ;;
		*) return 1 ;;
		esac
	done
	[ -z "$left" ]
}

# groups counts in found what is between the colons of a part of an address of IPv6,
# or says that it can't be.
groups() {
	[ -n "$1" ] || return 0
	left=$1:
	while [ -n "$left" ]; do
		group=${left%%:*} left=${left#*:}
		case $group in
		'' | *[!0-9a-fA-F]* | ?????*) return 1 ;;
		esac
		found=$((found + 1))
	done
}

# colons tells whether this is an address of IPv6 (RFC 4291, section 2.2).
colons() {
	text=$1 found=0
	case $text in
	*.*) # the last two groups as an address of IPv4
		quad "${text##*:}" || return 1
		text=${text%:*}:0:0
		;;
	esac
	case $text in
	*::*::* | *:::*) return 1 ;;
	*::*) groups "${text%%::*}" && groups "${text#*::}" && [ "$found" -le 7 ] ;;
	*) groups "$text" && [ "$found" -eq 8 ] ;;
	esac
}

# family prints 4 or 6 for an address with or without a prefix length.
family() {
	if quad "${1%%/*}"; then
		version=4 most=32
	elif colons "${1%%/*}"; then
		version=6 most=128
	else
		fail "OVERTAKE_EXCLUDE_CIDRS: '$1' is not an address or a network such as 10.0.0.0/8 or fd00::/8"
	fi
	case $1 in
	*/*) [ "${1#*/}" = 0 ] || number "OVERTAKE_EXCLUDE_CIDRS: the prefix length of $1" "${1#*/}" $most ;;
	esac
	echo $version
}

read_environment() {
	uid=${OVERTAKE_UID:-65532}
	inbound=${OVERTAKE_INBOUND_PORT:-15006}
	outbound=${OVERTAKE_OUTBOUND_PORT:-15001}
	admin=${OVERTAKE_ADMIN_PORT:-9901}
	app_ports=${OVERTAKE_APP_PORTS-}
	called_ports=${OVERTAKE_OUTBOUND_PORTS-80,443}
	called_ipv6=${OVERTAKE_OUTBOUND_IPV6:-yes}
	exclude_ports=${OVERTAKE_EXCLUDE_PORTS-}
	exclude_cidrs=${OVERTAKE_EXCLUDE_CIDRS-}
}

check_environment() {
	[ "$uid" != 0 ] || fail "OVERTAKE_UID: 0 is root, which others run as too; run the sidecar as a user of its own"
	number OVERTAKE_UID "$uid" 4294967294
	number OVERTAKE_INBOUND_PORT "$inbound" 65535
	number OVERTAKE_OUTBOUND_PORT "$outbound" 65535
	number OVERTAKE_ADMIN_PORT "$admin" 65535
	[ "$inbound" != "$outbound" ] || fail "OVERTAKE_INBOUND_PORT and OVERTAKE_OUTBOUND_PORT are both $inbound"
	[ "$admin" != "$inbound" ] || fail "OVERTAKE_ADMIN_PORT and OVERTAKE_INBOUND_PORT are both $admin"
	[ "$admin" != "$outbound" ] || fail "OVERTAKE_ADMIN_PORT and OVERTAKE_OUTBOUND_PORT are both $admin"
	ports OVERTAKE_APP_PORTS "$app_ports"
	ports OVERTAKE_OUTBOUND_PORTS "$called_ports"
	case $called_ipv6 in
	yes | no) ;;
	*) fail "OVERTAKE_OUTBOUND_IPV6: '$called_ipv6' is neither yes nor no" ;;
	esac
	ports OVERTAKE_EXCLUDE_PORTS "$exclude_ports"
	for port in $(words "$app_ports"); do
		case $port in
		"$inbound" | "$outbound" | "$admin") fail "OVERTAKE_APP_PORTS: $port is a port of the sidecar; let the app listen at another" ;;
		esac
		for other in $(words "$exclude_ports"); do
			[ "$port" != "$other" ] || fail "OVERTAKE_APP_PORTS and OVERTAKE_EXCLUDE_PORTS both have $port; take it out of one"
		done
	done
	[ -n "$(words "$app_ports$called_ports" | tr -d ' ')" ] || fail "nothing to redirect: name ports in OVERTAKE_APP_PORTS or OVERTAKE_OUTBOUND_PORTS"
	for cidr in $(words "$exclude_cidrs"); do
		family "$cidr" >/dev/null
	done
}

# called VERSION prints the ports whose calls by that family are redirected.
called() {
	[ "$1$called_ipv6" = 6no ] || printf '%s' "$called_ports"
}

# rules VERSION prints the rules of one family for iptables-restore. Naming a chain
# there empties it, so what an earlier run left is gone, all in one step.
rules() {
	echo '*nat'
	echo ':OVERTAKE_INBOUND - [0:0]'
	echo ':OVERTAKE_OUTPUT - [0:0]'
	for port in "$admin" "$inbound" $(words "$exclude_ports"); do
		echo "-A OVERTAKE_INBOUND -p tcp -m tcp --dport $port -j RETURN"
	done
	redirect OVERTAKE_INBOUND "$app_ports" "$inbound"

	echo "-A OVERTAKE_OUTPUT -m owner --uid-owner $uid -j RETURN"
	echo '-A OVERTAKE_OUTPUT -o lo -j RETURN'
	for port in $(words "$exclude_ports"); do
		echo "-A OVERTAKE_OUTPUT -p tcp -m tcp --dport $port -j RETURN"
	done
	for cidr in $(words "$exclude_cidrs"); do
		[ "$(family "$cidr")" != "$1" ] || echo "-A OVERTAKE_OUTPUT -d $cidr -j RETURN"
	done
	redirect OVERTAKE_OUTPUT "$(called "$1")" "$outbound"

	jumped PREROUTING OVERTAKE_INBOUND || echo '-I PREROUTING 1 -p tcp -j OVERTAKE_INBOUND'
	jumped OUTPUT OVERTAKE_OUTPUT || echo '-I OUTPUT 1 -p tcp -j OVERTAKE_OUTPUT'
	echo COMMIT
}

# redirect CHAIN LIST PORT
redirect() {
	for port in $(words "$2"); do
		case $port in
		'*') echo "-A $1 -p tcp -j REDIRECT --to-ports $3" ;;
		*) echo "-A $1 -p tcp -m tcp --dport $port -j REDIRECT --to-ports $3" ;;
		esac
	done
}

jumped() {
	"$tool" -w "$patience" -t nat -C "$1" -p tcp -j "$2" 2>/dev/null
}

# find_tool VERSION chooses the variant of iptables or ip6tables that can read the
# nat table here: which one the kernel has modules for differs. It sets tool, or why.
find_tool() {
	case $1 in
	4) names='iptables iptables-legacy iptables-nft' ;;
	6) names='ip6tables ip6tables-legacy ip6tables-nft' ;;
	esac
	tool='' why=''
	for name in $names; do
		if ! command -v "$name" >/dev/null 2>&1; then
			why="$why$name is not installed
"
		elif ! command -v "$name-restore" >/dev/null 2>&1; then
			why="$why$name-restore is not installed
"
		elif said=$("$name" -w "$patience" -t nat -S 2>&1 >/dev/null); then
			tool=$name
			return 0
		else
			why="$why$said
"
		fi
	done
	return 1
}

# routable tells whether this namespace has an address of IPv6 beyond loopback and
# link-local: then calls can leave by it.
routable() {
	[ -r /proc/net/if_inet6 ] || return 1
	while read -r _ _ _ scope _; do
		case $scope in
		10 | 20) ;;
		*) return 0 ;;
		esac
	done </proc/net/if_inet6
	return 1
}

# remedy TEXT says what helps against an error of iptables.
remedy() {
	case $1 in
	*'Permission denied'* | *'ou must be root'* | *'not permitted'*)
		fail "$1
run it as root with the capabilities NET_ADMIN and NET_RAW (securityContext: {runAsUser: 0, capabilities: {add: [NET_ADMIN, NET_RAW]}}); a namespace that enforces the restricted or baseline Pod Security Standard refuses them"
		;;
	*'lock file'* | *'xtables lock'*)
		fail "$1
make /run writable, or name a writable file in XTABLES_LOCKFILE; if another program holds the lock for more than $patience s, run this again"
		;;
	*'is not installed'*)
		fail "$1
install iptables, or use the image overtake-init, which has it"
		;;
	*)
		fail "$1
the kernel needs NAT for this family with the matches owner and tcp and the target REDIRECT: on the node, modprobe -a nf_nat xt_owner xt_tcpudp xt_REDIRECT (and iptable_nat, ip6table_nat for the legacy variant)"
		;;
	esac
}

# needless tells whether IPv6 can be left out where there is no tool for it.
needless() {
	! routable || [ -z "$(words "$app_ports$(called 6)" | tr -d ' ')" ]
}

# apply VERSION [--test] sets the rules of one family, or only tries whether they can
# be set.
apply() {
	find_tool "$1" || {
		if [ "$1" = 6 ] && needless; then
			[ -n "${2-}" ] || echo "redirect.sh: IPv6 is left out: nothing is to be redirected by it here, and ip6tables has no nat table"
			return 0
		fi
		remedy "$why"
	}
	text=$(rules "$1")
	# The variant's own -restore: iptables-legacy has iptables-legacy-restore.
	said=$(printf '%s\n' "$text" | "$tool-restore" -w "$patience" --noflush ${2:+"$2"} 2>&1) || remedy "$said"
	[ -z "${2-}" ] || return 0
	calls=$(called "$1")
	echo "redirect.sh: IPv$1 by $tool: app ports ${app_ports:-none} to $inbound, calls to ports ${calls:-none} to $outbound, but those of user $uid"
}

# leftover prints what takes away the rules that are there, for iptables-restore.
leftover() {
	printf '%s\n' "$1" | while read -r command chain rest; do
		case "$command $chain $rest" in
		'-A PREROUTING '*'-j OVERTAKE_INBOUND' | '-A OUTPUT '*'-j OVERTAKE_OUTPUT') echo "-D $chain $rest" ;;
		esac
	done
	printf '%s\n' "$1" | while read -r command chain _; do
		case "$command $chain" in
		'-N OVERTAKE_INBOUND' | '-N OVERTAKE_OUTPUT') printf '%s\n' "-F $chain" "-X $chain" ;;
		esac
	done
}

# remove VERSION takes the rules of one family away. Another run may change them at
# the same time: what it took can't be taken twice, so it looks again.
remove() {
	find_tool "$1" || return 0 # IPv6, where it is needless
	for try in 1 2 3 4 5 6 7 8 9 last; do
		said=$("$tool" -w "$patience" -t nat -S 2>&1) || remedy "$said"
		text=$(leftover "$said")
		if [ -z "$text" ]; then
			echo "redirect.sh: IPv$1 by $tool: removed"
			return 0
		fi
		said=$(printf '%s\n' '*nat' "$text" COMMIT | "$tool-restore" -w "$patience" --noflush 2>&1) || [ $try != last ] || remedy "$said"
	done
	fail "IPv$1 by $tool: other rules were set while these were removed; run this again"
}

patience=30 # seconds to wait for the lock of xtables
[ $# -le 1 ] || set -- usage
read_environment
case ${1-apply} in
apply)
	check_environment
	# What can't be for one family must not leave the other redirected.
	apply 4 --test
	apply 6 --test
	apply 4
	apply 6
	;;
remove)
	find_tool 4 || remedy "$why"
	find_tool 6 || needless || remedy "$why"
	remove 4
	remove 6
	;;
*)
	echo 'usage: redirect.sh [remove]; see its first lines for the environment' >&2
	exit 2
	;;
esac
