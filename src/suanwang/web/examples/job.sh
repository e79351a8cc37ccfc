#!/bin/bash
#SBATCH --job-name=simulation
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --time=00:30:00
echo "an sbatch script, as it is"
