"""What every stage needs to run: its manifest, its child process, interrupts, and errors of full memory or disks."""
