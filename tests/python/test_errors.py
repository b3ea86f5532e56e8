"""What cannot be read is an error of its own type, and never more than an error."""

import os
import random
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator

import vmmload
from support import TestCase, Touch, segment

#: Of the header, as in ABI.md.
VERSION_AT, FILE_LEN_AT = 8, 16
HEADER = 4096


class Errors(TestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)

    def file(self, content: bytes, mode: int = 0o600) -> Path:
        path = self.directory / "segment"
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
        return path

    def copy_of_one(self) -> Path:
        """A copy of a real segment, as sparse as that."""
        path = self.directory / "copy"
        with Touch() as guest, guest.consumer() as consumer:
            guest.write(consumer)
            subprocess.run(["cp", "--sparse=always", segment(guest.pid), path], check=True)
        path.chmod(0o600)
        return path

    @contextmanager
    def changed(self, path: Path, changes: "Dict[int, bytes]") -> "Iterator[Path]":
        """The file with other bytes at these places, for a while."""
        with path.open("r+b", buffering=0) as file:
            before = {at: os.pread(file.fileno(), len(new), at) for at, new in changes.items()}
            for at, new in changes.items():
                os.pwrite(file.fileno(), new, at)
            try:
                yield path
            finally:
                for at, old in before.items():
                    os.pwrite(file.fileno(), old, at)

    def assert_refused(self, error: "type[vmmload.Error]", path: Path, text: str) -> None:
        with self.assertRaises(vmmload.Error) as caught:
            vmmload.open(path)
        self.assertIs(type(caught.exception), error)
        self.assertRegex(str(caught.exception), text)
        self.assertIn(str(path), str(caught.exception))
        self.assertGreater(caught.exception.code, 0)

    def test_each_reason_has_its_type_and_its_text(self) -> None:
        good = self.copy_of_one()
        length = good.stat().st_size
        for error, content, mode, text in [
            (vmmload.Damaged, b"x" * HEADER, 0o600, "no vmmload segment"),
            (vmmload.Foreign, b"x" * HEADER, 0o666, "do not trust"),
            (vmmload.NotReady, b"", 0o600, "not ready"),
            (vmmload.NotReady, bytes(HEADER), 0o600, "not ready"),
        ]:
            with self.subTest(error=error.__name__, text=text):
                self.assert_refused(error, self.file(content, mode), text)
        for error, at, word, text in [
            (vmmload.Incompatible, VERSION_AT, 7 << 32, "version 7"),
            (vmmload.Damaged, FILE_LEN_AT, length - 4096, "file_len"),
        ]:
            with self.subTest(error=error.__name__, text=text):
                with self.changed(good, {at: word.to_bytes(8, "little")}):
                    self.assert_refused(error, good, text)
        self.assert_refused(vmmload.Foreign, self.directory, "do not trust")
        loop = self.directory / "loop"
        loop.symlink_to(loop)
        self.assert_refused(vmmload.Unreadable, loop, "cannot open")
        self.assert_refused(vmmload.NotFound, self.directory / "nowhere", "no segment")
        # Without a process, but with all that it did.
        with vmmload.open(good) as consumer:
            self.assertIs(consumer.status.state, vmmload.State.DIED)
            self.assertEqual(len(list(consumer)), consumer.info.published)

    def test_a_file_that_is_cut_under_its_reader_reads_as_zeroes(self) -> None:
        good = self.copy_of_one()
        with vmmload.open(good) as consumer:
            view = consumer.heat_view()
            self.assertGreater(int(view.words.sum()), 0)
            os.truncate(good, HEADER)
            self.assertEqual(int(view.words.sum()), 0)
            self.assertIs(consumer.status.state, vmmload.State.TRUNCATED)
            self.assertEqual(list(consumer), [])

    def test_who_is_not_in_vmmload_is_not_found(self) -> None:
        with self.assertRaisesRegex(vmmload.NotFound, f"vmmload-{os.getpid()}; start the command with `vmmload run`"):
            vmmload.attach(os.getpid())
        with self.assertRaises(vmmload.NotFound):
            vmmload.Session(os.getpid())
        for impossible in (-1, 2**32):
            for function in (vmmload.attach, vmmload.Session):
                with self.assertRaises(ValueError):
                    function(impossible)
        with self.assertRaises(ValueError):
            vmmload.open("a\0b")

    def test_another_users_process_is_denied(self) -> None:
        if os.geteuid() != 0:
            self.assertRaises(vmmload.Denied, vmmload.open, "/dev/mem")
            return
        with Touch() as guest:
            guest.consumer().close()
            child = os.fork()
            if child == 0:
                # Nothing of the test runner's may run here.
                status = 2
                try:
                    os.setgroups([])
                    os.setgid(65534)
                    os.setuid(65534)
                    vmmload.attach(guest.pid)
                except vmmload.Denied:
                    status = 0
                except vmmload.Error:
                    status = 1
                finally:
                    os._exit(status)
            self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_a_hostile_file_is_refused_or_read_but_never_more(self) -> None:
        good = self.copy_of_one()
        chance, refused = random.Random(4711), 0
        for _ in range(150):
            places = [chance.randrange(chance.choice((512, 1024, 1 << 20))) for _ in range(chance.choice((1, 3, 30)))]
            values = [chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256))) for _ in places]
            with self.changed(good, {at: bytes([value]) for at, value in zip(places, values)}):
                try:
                    consumer = vmmload.open(good)
                except vmmload.Error:
                    refused += 1
                    continue
                with consumer:
                    self.use(consumer)
        self.assertTrue(20 < refused < 140, f"{refused} were refused")

    def use(self, consumer: vmmload.Consumer) -> None:
        """Everything there is; errors are fine, where they are errors of this package."""
        consumer.rewind()
        for _ in range(10):
            list(consumer.read())
        view = consumer.heat_view()
        # A table that claims to be full takes long to copy.
        if len(view) < 2000:
            heat = consumer.heat()
            self.assertEqual((heat - heat).total, 0)
            heat.hottest(5)
            int(view.words.sum())
        consumer.epochs(), consumer.next_epoch(), consumer.children()
        str(consumer), consumer.info, consumer.wait(0)
        try:
            consumer.pages_written_since(0)
            list(consumer.mappings())
        except vmmload.Error:
            pass
