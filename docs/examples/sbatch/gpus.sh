#!/bin/bash
#SBATCH --job-name=Train_LLM
#SBATCH --nodes=2 --ntasks-per-node=1
#SBATCH --cpus-per-task=32 --mem=256G
#SBATCH --gres=gpu:a100:8
#SBATCH --time=1-12
#SBATCH --partition=gpu --account=lab
##SBATCH --qos=high   (a comment: two signs)

srun torchrun --nnodes "$SLURM_NNODES" --nproc-per-node "$SLURM_GPUS_ON_NODE" train.py
