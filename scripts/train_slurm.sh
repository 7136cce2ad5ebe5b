#!/usr/bin/env bash
# Train on a Slurm cluster: one job for each combination of options, which goes on wherever it is cut off.
#
#   scripts/train_slurm.sh PARTITION data.train.images=DIR ... [seed=0,1,2 loss=focal,dice and further options]
#
# Needs `pip install 'seg-toolkit[sweep]'` and a file system that all nodes share. When a job's time is nearly up, or
# Slurm preempts it, the run finishes its step and saves, and the job is requeued and goes on from there. Ctrl-C here
# leaves the jobs alone; `scancel` ends them, and they save too. The same command goes on with all that is not complete.
# GPUS (1; 0: CPUs) and NODES (1) of each job, CPUS (8) for each GPU, MEMORY_GB (32) of each node, HOURS (24) at a time,
# at most RESTARTS (20) times, and PARALLEL (16) jobs at a time can be set in the environment; hydra.launcher.account=A
# and the like are options too. Logs lie in runs/.sweep/.submitit. Exit code: 0 only if every run is complete.
#
# Without a sweep, in a job script of your own; exit code 130 says that the run was asked to stop, and has saved:
#
#   #SBATCH --ntasks-per-node=4 --gpus-per-node=4 --signal=USR1@180 --requeue
#   srun seg-train device.devices=4 ...
#   [ $? -ne 130 ] || scontrol requeue "$SLURM_JOB_ID"
#
# Without Slurm: `torchrun --nproc-per-node=4 "$(command -v seg-train)" ...`, or seg-train device.devices=4 ...
#
# Tried with Slurm 22.05 and submitit 1.5 on the CPUs of one machine, as one node and as two: sweeps, jobs of two tasks
# and of two nodes, preemption (by SIGUSR2, SIGTERM, another partition), time limits, the job script, torchrun within
# srun. What was cut off ended as what was not, to the bit. Not tried: GPUs, and nodes that a network connects.
set -uo pipefail
[ $# -ge 2 ] || { sed -n 2,20p "$0" >&2; exit 2; }
partition=$1
shift
case $partition in *=*) echo "error: PARTITION: expected the name of a partition, got '$partition'; give it first" >&2; exit 2 ;; esac
: "${GPUS:=1}" "${NODES:=1}" "${CPUS:=8}" "${MEMORY_GB:=32}" "${HOURS:=24}" "${RESTARTS:=20}" "${PARALLEL:=16}"
for name in GPUS NODES CPUS MEMORY_GB HOURS RESTARTS PARALLEL; do
  case ${!name} in '' | *[!0-9]*) echo "error: $name: expected a whole number, got '${!name}'; give such as 4" >&2; exit 2 ;; esac
done
case $GPUS in
  0) device=(device.accelerator=cpu hydra.launcher.tasks_per_node=1) ;;
  *) device=("device.devices=$GPUS" "hydra.launcher.tasks_per_node=$GPUS" "hydra.launcher.gpus_per_node=$GPUS") ;;
esac

# 180 s before the end, Slurm gives notice: time enough for a step, a save, and whatever the file system waits for.
exec seg-train --multirun hydra/launcher=submitit_slurm "hydra.launcher.partition=$partition" \
  "hydra.launcher.nodes=$NODES" "${device[@]}" "hydra.launcher.cpus_per_task=$CPUS" "hydra.launcher.mem_gb=$MEMORY_GB" \
  "hydra.launcher.timeout_min=$((60 * 10#$HOURS))" hydra.launcher.signal_delay_s=180 \
  "hydra.launcher.max_num_timeout=$RESTARTS" "hydra.launcher.array_parallelism=$PARALLEL" "$@"
