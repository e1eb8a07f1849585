"""Runs stages safely: manifests that prove a stage is done, child processes, interrupts, full memory or disks."""
