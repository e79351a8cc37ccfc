#!/bin/bash
#SBATCH --job-name=relax
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --mem-per-cpu=2G
#SBATCH --time=02:30:00
#SBATCH --output=relax.%j.out
#SBATCH --mail-type=END

echo "job $SLURM_JOB_ID uses $SLURM_CPUS_PER_TASK cores in $SLURM_SUBMIT_DIR"
