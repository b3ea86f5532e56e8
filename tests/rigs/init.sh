#!/bin/busybox sh
# The first process of a rig: mounts what programs expect, loads KVM, runs the steps of /rig/steps, says
# how they ended on the line that the host waits for, and switches the machine off.
/bin/busybox --install -s /usr/bin
export PATH=/usr/bin HOME=/root LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /dev/pts
mount -t tmpfs tmpfs /dev/shm
# Everything is in memory anyhow, and what is tested may lie below /tmp.
chmod 1777 /tmp
mount -t devpts devpts /dev/pts
# KVM's own counters.
mount -t debugfs debugfs /sys/kernel/debug
ln -s /proc/self/fd /dev/fd
ip link set lo up
# Nothing of the kernel's own goes between the lines of the tests, short of a crash.
echo 1 > /proc/sys/kernel/printk
ulimit -c 0
# Programs may reserve more than this small machine has.
echo 1 > /proc/sys/vm/overcommit_memory
cd /tmp

for module in $(cat /rig/modules); do
    insmod "/rig/$module" || echo "RIG: module $module cannot be loaded"
done
. /rig/environment

seconds() { cut -d. -f1 /proc/uptime; }

failed= total=0
# Runs one step: a name, and a command with its arguments.
step() {
    name=$1
    shift
    total=$((total + 1))
    started=$(seconds)
    echo "== $name"
    "$@" </dev/null
    status=$?
    echo "== $name: status $status, $(($(seconds) - started)) s by the rig's own clock"
    [ $status = 0 ] || failed="$failed
  $name"
}
. /rig/steps

if [ -n "$failed" ]; then
    echo "RIG: these of the $total steps failed:$failed"
    echo "RIG: ended with status 1"
else
    echo "RIG: all $total steps passed"
    echo "RIG: ended with status 0"
fi
# What is still on its way to the serial port would be lost.
sleep 2
poweroff -f
