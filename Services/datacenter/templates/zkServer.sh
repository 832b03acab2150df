#!/usr/bin/env bash
# Starts, stops and asks one ZooKeeper server of this datacenter, from any folder. Made by `run_datacenter.py --setup`;
# the launcher starts servers through it too. conf/zoo.cfg has the ports, conf/java.env the places of Java and ZooKeeper.
set -u

server=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
config=$server/conf/zoo.cfg
main=org.apache.zookeeper.server.quorum.QuorumPeerMain
pidfile=$server/data/zookeeper_server.pid
cd "$server" || exit 1 # the paths in the configuration files are relative to it

command_of() {
    if [ -d /proc/self ]; then tr '\0' ' ' <"/proc/$1/cmdline"; else ps -p "$1" -o args=; fi 2>/dev/null
}

# Process ids are used again by others: the process must also be this server, or this script before it becomes the server.
is_server() {
    local command
    command=$(command_of "$1") || return 1
    command=${command% }
    [[ $command == *" $main $config" || $command == *" $server/bin/zkServer.sh start-foreground" ]]
}
running() { pid=$(cat "$pidfile" 2>/dev/null) && is_server "$pid"; }

# One of ZooKeeper's four-letter words, asked at the client port.
ask() {
    local line
    exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
    printf '%s' "$1" >&3
    while IFS= read -r -t 3 -u 3 line; do printf '%s\n' "$line"; done
    exec 3>&-
} 2>/dev/null

# $1 tenths of a second for the rest of the arguments to become true.
within() {
    local tenths=$1
    shift
    for ((; tenths > 0; tenths--)); do
        "$@" && return 0
        sleep 0.1
    done
    return 1
}

stopped() { ! running; }
gone() { ! is_server "$pid"; }
listening_or_dead() { stopped || (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

announce() {
    echo "ZooKeeper JMX disabled by user request" # its port would be open to every host
    echo "Using config: $config"
}

command=${1:-}
case $command in
start | start-foreground | stop | status) ;;
*)
    echo "Usage: $0 {start|start-foreground|stop|status}" >&2
    exit 2
    ;;
esac
port=$(sed -n 's/^[[:blank:]]*clientPort[[:blank:]]*=[[:blank:]]*\([0-9]*\).*/\1/p' "$config") || exit 1

case $command in
start)
    announce
    printf 'Starting zookeeper ... '
    if running; then
        echo "already running as process $pid."
        exit 1
    fi
    rm -f "$pidfile"
    nohup "$server/bin/zkServer.sh" start-foreground >>logs/zookeeper.out 2>&1 </dev/null &
    within 50 test -s "$pidfile"
    within 300 listening_or_dead
    if running; then
        echo STARTED
    else
        echo "FAILED TO START"
        echo "See $server/logs/zookeeper.out and $server/logs/zookeeper.0.log" >&2
        exit 1
    fi
    ;;
start-foreground)
    if running && [ "$pid" != $$ ]; then
        echo "zookeeper is already running as process $pid." >&2
        exit 1
    fi
    . conf/java.env
    echo $$ >"$pidfile"
    exec "$JAVA" $JVMFLAGS -cp "$server/conf:$CLASSPATH" "$main" "$config"
    ;;
stop)
    announce
    printf 'Stopping zookeeper ... '
    if ! running; then
        echo "no zookeeper to stop"
        exit 0
    fi
    rm -f "$pidfile" # before it ends: by this the supervisor knows that it is no crash
    kill "$pid"
    within 100 gone || kill -9 "$pid"
    echo STOPPED
    ;;
status)
    announce
    echo "Client port found: $port. Client address: 127.0.0.1. SSL: false."
    mode=$(ask srvr | sed -n 's/^Mode: //p')
    if [ -z "$mode" ]; then
        echo "Error contacting service. It is probably not running."
        exit 1
    fi
    echo "Mode: $mode"
    ;;
esac
