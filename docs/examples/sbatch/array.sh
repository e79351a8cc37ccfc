#!/usr/bin/env bash
#SBATCH -J sweep
#SBATCH -a 1-10:3,20%2
#SBATCH -c 2 --mem=4G -t 30

echo "member $SLURM_ARRAY_TASK_ID of $SLURM_ARRAY_TASK_COUNT"
