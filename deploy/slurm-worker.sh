#!/bin/bash
# A worker of the queue as a Slurm job: it runs jobs of `search submit` until its time is over.
#
#   export SEARCH_HOME=/shared/search SEARCH_STORAGE=postgresql://user@host/database    # the password: ~/.pgpass
#   sbatch deploy/slurm-worker.sh
#
#SBATCH --job-name=search-worker
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus=1
#SBATCH --mem=32G
#SBATCH --time=08:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue

# Two minutes before the end, Slurm sends SIGTERM to this script. The worker then gives its job back to the queue, and
# another worker goes on with it.
set -euo pipefail

: "${SEARCH_STORAGE:?name the database that all workers share}"
: "${SEARCH_HOME:?name a folder that all machines share}"

stopped=0
search worker "$@" &
worker=$!
trap 'stopped=1; kill -TERM "$worker"' TERM INT

# `wait` also returns when a signal comes. A second one then tells how the worker ended.
while kill -0 "$worker" 2>/dev/null; do
  wait "$worker" || true
done
status=0
wait "$worker" || status=$?
if [ "$stopped" = 1 ] && [ -n "${SLURM_JOB_ID:-}" ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
