#!/usr/bin/env bash
# Convert a large folder of label images on a Slurm cluster: an array of shards, then one pass that merges them.
#
#   scripts/preprocess_slurm.sh SHARDS PARTITION source=DIR destination=DIR labels=NAME [further options]
#
# Needs `pip install 'seg-toolkit[sweep]'` and a file system that all nodes share. Each shard skips what is done, so the
# same command resumes after a time-out or a lost node. The merge counts all masks (it converts nothing that is there),
# and writes counts.csv, class_weights.json and manifest.json. Exit code: 0 only if every file is right.
# HOURS (1), CPUS (4), MEMORY_GB (4) of each shard and PARALLEL (16) shards at a time can be set in the environment.
set -uo pipefail
[ $# -ge 5 ] || { sed -n 2,9p "$0" >&2; exit 2; }
shards=$1 partition=$2
shift 2
for option in "$@"; do case $option in destination=*) logs=${option#*=}/.slurm ;; esac; done
[ -n "${logs:-}" ] || { echo "error: destination=DIR is missing" >&2; exit 2; }
case $shards in '' | *[!0-9]* | 0*) echo "error: SHARDS: expected a whole number of at least 1, got '$shards'; give such as 8" >&2; exit 2 ;; esac

seg-preprocess --multirun "$@" "shard=$(seq -s, -f "%g/$shards" 1 "$shards")" \
  hydra/launcher=submitit_slurm "hydra.sweep.dir=$logs" "hydra.launcher.partition=$partition" \
  "hydra.launcher.cpus_per_task=${CPUS:-4}" "hydra.launcher.mem_gb=${MEMORY_GB:-4}" \
  "hydra.launcher.timeout_min=$((60 * ${HOURS:-1}))" "hydra.launcher.array_parallelism=${PARALLEL:-16}" ||
  echo "some shards failed or ended early; the merge does what is left (logs: $logs)" >&2
exec seg-preprocess "$@"
