#!/usr/bin/env bash
# one_node_slurm.sh up|down FOLDER: a real Slurm on this machine alone, to try profiles/slurm.
# It uses the loopback interface, no accounting and no systemd. Its files are in FOLDER, except for the link
# /etc/slurm/slurm.conf, by which Slurm's commands find it inside a job. It needs root and the packages of
# apt-test.txt.
set -euo pipefail
command=${1:-} folder=$(realpath -m "${2:?one_node_slurm.sh up|down FOLDER}")
link=/etc/slurm/slurm.conf

fail() { echo "error: $*" >&2; exit 1; }

up() {
    [ "$(id -u)" = 0 ] || fail "Slurm's daemons are started as root"
    for tool in munged slurmctld slurmd; do
        command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install $(paste -sd' ' "$(dirname "$0")/../apt-test.txt")"
    done
    # A killed test could not call down.
    if grep -qs '^ClusterName=one-node$' "$link"; then down "$(dirname "$(readlink "$link")")"; fi
    [ ! -e "$link" ] || fail "$link is there: this machine belongs to a Slurm already"
    trap 'down "$folder"' EXIT
    mkdir -p "$folder"/{state,spool} "$(dirname "$link")"
    chmod 755 "$folder"
    (umask 077; head -c 128 /dev/urandom >"$folder/munge.key")
    local host memory
    host=$(hostname -s)
    memory=$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
    cat >"$folder/slurm.conf" <<CONF
ClusterName=one-node
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
# A requeued job waits as long as credentials live, by default two minutes.
AuthInfo=socket=$folder/munge.socket,cred_expire=5
# When it may start again, it does: by default, Slurm tries waiting jobs every minute.
SchedulerParameters=sched_interval=2
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
# None of this needs cgroups.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
KillWait=5
# Ended jobs stay in the list for an hour: by default, five minutes.
MinJobAge=3600
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(getconf _NPROCESSORS_ONLN) RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
    ln -sf "$folder/slurm.conf" "$link"
    munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
        --pid-file="$folder/munged.pid" --seed-file="$folder/munged.seed" --log-file="$folder/munged.log"
    slurmctld
    slurmd -N "$host"
    for _ in $(seq 100); do
        if [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ]; then trap - EXIT; return; fi
        sleep 0.2
    done
    tail -n 5 "$folder"/*.log >&2
    fail "the node did not become idle in 20 s"
}

down() {
    local daemon pid
    for daemon in slurmd slurmctld munged; do
        pid=$(cat "$1/$daemon.pid" 2>/dev/null) || continue
        [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$daemon" ] || continue
        kill "$pid"
        for _ in $(seq 100); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
    done
    # With the link left behind, Snakemake would wait for a controller that is gone.
    if [ "$(readlink "$link")" = "$1/slurm.conf" ]; then rm "$link"; fi
}

case $command in
    up) up ;;
    down) down "$folder" ;;
    *) fail "one_node_slurm.sh up|down FOLDER" ;;
esac
