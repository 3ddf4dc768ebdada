"""In the place of a training or prediction for which the memory does not suffice. A fresh process loads this
file, so it imports little."""

import os
import signal


def killed(run, checkpoint, sentences):
    os.kill(os.getpid(), signal.SIGKILL)


def short_of_memory(*arguments):
    raise RuntimeError("unable to mmap 90865208 bytes from file <x>: Cannot allocate memory (12)")
