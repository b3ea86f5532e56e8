"""The examples, as a user runs them."""

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import matplotlib.image
import numpy as np
from support import TestCase, Touch, patience

EXAMPLES = Path(os.environ["VMMLOAD_EXAMPLES"])


def run(name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=patience(60))


class Examples(TestCase):
    def test_the_heat_map_of_a_live_process_is_a_picture(self) -> None:
        with Touch(2000, 3) as guest, guest.consumer() as consumer, tempfile.TemporaryDirectory() as directory:
            guest.write(consumer, 2)
            for arguments in ([], ["0.2"]):
                file = Path(directory) / f"heat{len(arguments)}.png"
                done = run("heatmap.py", str(guest.pid), str(file), *arguments)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                picture = matplotlib.image.imread(str(file))
                self.assertEqual(picture.ndim, 3)
                self.assertGreater(picture.shape[1], 1000)
                if not arguments:
                    colours = np.unique(picture.reshape(-1, picture.shape[2]), axis=0)
                    self.assertGreater(len(colours), 20, "nothing is drawn")

    def test_working_sets_are_printed_until_the_process_ends(self) -> None:
        with Touch(2000, 2) as guest, guest.consumer() as consumer:
            guest.write(consumer)
            threading.Timer(1, guest.quit).start()
            done = run("follow.py", str(guest.pid))
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            title, heads, *epochs, end = done.stdout.splitlines()
            self.assertIn(str(guest.pid), title)
            self.assertEqual(end, "the process is over: exited 0")
            touched = [int(line.split()[2].replace(",", "")) for line in epochs]
            self.assertGreaterEqual(sum(touched), 1000)
            self.assertEqual(heads.split()[2], "pages")

    def test_an_example_without_a_process_says_what_to_do(self) -> None:
        for name, arguments in [("follow.py", []), ("heatmap.py", ["x.png"])]:
            done = run(name, "1", *arguments)
            self.assertEqual(done.returncode, 1)
            self.assertIn("start the command with `vmmload run`", done.stderr)
            self.assertNotIn("Traceback", done.stderr)
