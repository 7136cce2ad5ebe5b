#!/usr/bin/env bash
# Train on a Slurm cluster: one job for each combination of options, resumed wherever it was cut off.
#
#   scripts/train_slurm.sh PARTITION data.train.images=DIR ... [seed=0,1,2 loss=focal,dice and further options]
#
# Needs `pip install 'seg-toolkit[sweep]'` and a file system that all nodes share. Before a job's time is up, and where
# Slurm preempts it, the run finishes its step and saves, and the job is requeued and goes on: at most the step at hand
# is trained again. Ctrl-C here leaves the jobs alone (`scancel` ends them, and they save too); give the same command
# again when they are done, and what is complete is not trained again.
# GPUS (1; 0 trains on CPUs) and NODES (1) of each job, CPUS (8) for each GPU, MEMORY_GB (32) of each node, HOURS (24)
# until a job is requeued, at most RESTARTS (20) times, and PARALLEL (16) jobs at a time can be set in the environment.
# Logs lie in runs/.sweep/.submitit; hydra.launcher.account=NAME and the like are options too.
set -uo pipefail
[ $# -ge 2 ] || { sed -n 2,13p "$0" >&2; exit 2; }
partition=$1 gpus=${GPUS:-1}
shift
case $partition in *=*) echo "error: PARTITION: expected the name of a partition, got '$partition'; give it first" >&2; exit 2 ;; esac
case $gpus in
  0) tasks=1 device=(device.accelerator=cpu) ;;
  *[!0-9]*) echo "error: GPUS: expected a whole number, got '$gpus'; give such as 4" >&2; exit 2 ;;
  *) tasks=$gpus device=("device.devices=$gpus" "hydra.launcher.gpus_per_node=$gpus") ;;
esac

# Slurm gives notice 180 s before the end, in which a step and a save must fit; validations are interrupted.
exec seg-train --multirun hydra/launcher=submitit_slurm "hydra.launcher.partition=$partition" \
  "hydra.launcher.nodes=${NODES:-1}" "hydra.launcher.tasks_per_node=$tasks" "${device[@]}" \
  "hydra.launcher.cpus_per_task=${CPUS:-8}" "hydra.launcher.mem_gb=${MEMORY_GB:-32}" \
  "hydra.launcher.timeout_min=$((60 * ${HOURS:-24}))" hydra.launcher.signal_delay_s=180 \
  "hydra.launcher.max_num_timeout=${RESTARTS:-20}" "hydra.launcher.array_parallelism=${PARALLEL:-16}" "$@"

# Without the sweep, and without Slurm:
#
#   srun --ntasks-per-node=4 --gpus-per-node=4 seg-train device.devices=4 ...     # in a job script, or at a prompt
#   torchrun --nproc-per-node=4 "$(command -v seg-train)" ...                     # starts the processes itself
#   seg-train device.devices=4 ...                                                # one machine: nothing else is needed
